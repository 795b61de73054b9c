"""Pairs of frames to generate between: rendered, photographs, described, or yours
(docs/how-to/pairs.md)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from spf.errors import ConfigError, SpfError
from spf.files import brief, read_yaml
from spf.generators.base import Image
from spf.generators.stills import Described, Frame, NoStills, StillImage, Stills
from spf.identity import digest
from spf.names import choose
from spf.numbers import optional_number
from spf.store import Store
from spf.video import read_image
from synthetic.drawing import Painter
from synthetic.morph_pairs import HELD_OUT_PAIRS
from synthetic.oracle import RenderOracle
from synthetic.photographs import PAIRS, photograph

DESCRIBED = Path(__file__).resolve().parents[2] / "configs" / "benchmark" / "pairs"
"""A file is a set of pairs that are described in words, and its name the option."""
SETS = ("procedural", "photographs", *sorted(path.stem for path in DESCRIBED.glob("*.yaml")))
IMAGES = ("first", "last")
WORDS = ("first_prompt", "last_prompt")
KEYS = ("name", *IMAGES, *WORDS, "prompt", "negative_prompt", "category")
LAYOUT = (
    "expected a list of {name, first, last, prompt, negative_prompt, category}, or first_prompt "
    "and last_prompt in place of the images first and last"
)

ORACLE_PIXELS = 128 * 128
"""Larger renders would fill the memory: their pairs have no oracle."""

NO_STILLS = NoStills()

PHRASES = {
    "astronaut": "an astronaut", "brick": "a brick wall", "camera": "a man with a camera",
    "cat": "a tabby cat", "coffee": "a cup of coffee", "coins": "old coins",
    "galaxies": "a field of galaxies", "grass": "grass", "gravel": "gravel",
    "moon": "the surface of the moon", "motorcycle": "a motorcycle", "page": "a printed page",
    "retina": "the retina of an eye", "rocket": "a rocket on its pad",
    "tissue": "tissue under a microscope",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pair:
    """A first and a last frame, (H, W, 3) uint8 RGB, and what the model is asked for.

    last : None where the model is free to end. category : kind of transition, for tables.
    painter : the true morph between the two, p in 0..1 -> frame; None where none is known.
    stills : of which its frames are shown; until then (`shown`) the frames are black.
    """

    name: str
    first: Image
    last: Image | None = None
    prompt: str = ""
    negative_prompt: str | None = None
    category: str = ""
    painter: Painter | None = None
    stills: tuple[StillImage, ...] = ()

    def identity(self) -> dict[str, Any]:
        """Everything that determines what is generated and how it is judged."""
        frames = [self.first, *([] if self.last is None else [self.last])]
        if self.painter is not None:
            frames.append(self.painter(0.5))  # the same ends may have another morph between
        return {
            "name": self.name,
            "frames": [digest([frame.shape, frame.tobytes().hex()]) for frame in frames],
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "category": self.category,
            **({"stills": [still.identity() for still in self.stills]} if self.stills else {}),
        }

    def shown(self, folder: Path) -> Self:
        """The pair with the images of its stills, from the folder that stores them, or made now."""
        if not self.stills:
            return self
        first, *last = (still.image(folder) for still in self.stills)
        return replace(self, first=first, last=last[0] if last else None)

    @cached_property
    def oracle(self) -> RenderOracle | None:
        """Reads the true parameter off frames; None where there is no true morph."""
        return None if self.painter is None else RenderOracle(self.painter)


def load_pairs(
    source: str, size: tuple[int, int], count: int | None = None, stills: Stills = NO_STILLS
) -> list[Pair]:
    """The first `count` pairs of a name of `SETS`, for clips of (height, width), or of a YAML file.

    stills : what shows the frames of pairs that are described in words; nothing is made here.

    Raises ConfigError, in one line, for an unknown name, whatever is wrong with the file, a count
    of more pairs than there are, and stills that no pair asks for; as `Stills.frames` besides.
    """
    if not isinstance(source, str):
        raise ConfigError(f"pairs={source!r} must be a name ({', '.join(SETS)}) or a YAML file")
    path, made = Path(source), None
    if path.suffix.lower() not in (".yaml", ".yml") and not path.is_file():
        name = choose(source, SETS, "set of pairs (or give a YAML file)")
        made = {"procedural": _procedural, "photographs": _photographs}.get(name)
        path = DESCRIBED / f"{name}.yaml"
    found: list[Any] = list(_entries(path) if made is None else made(size))
    found = found[: optional_number("num_pairs", count, least=1, most=len(found), whole=True)]
    entries = [] if made is not None else found
    described = [
        Described(entry["name"], entry["first_prompt"], entry.get("last_prompt"))
        for entry in entries
        if "first_prompt" in entry
    ]
    if not described and stills.name != NO_STILLS.name:
        raise ConfigError(
            f"stills={stills.name}: pairs={source} has images and no descriptions; use "
            "stills=none, or benchmark.pairs=transitions"
        )
    if made is not None:
        return found
    shown = iter(stills.frames(described, size) if described else [])
    pairs = []
    for entry in entries:
        where = entry["where"]
        if "first_prompt" in entry:
            first, last = next(shown)
            where = f"stills of pair {entry['name']!r}"
        else:
            try:
                first = read_image(path.parent / entry["first"])
                last = read_image(path.parent / entry["last"]) if "last" in entry else None
            except SpfError as error:
                raise ConfigError(f"{where}: {error}") from None
        pairs.append(_pair(entry, (first, last), where))
    return pairs


def make_stills(pairs: Sequence[Pair], folder: Path) -> None:
    """Make the stills of pairs that are not in the folder yet, and free what made them.

    Raises SpfError where one cannot be made or stored.
    """
    from tqdm import tqdm

    Store(folder).sweep()
    every = (still for pair in pairs for still in pair.stills)
    missing = [still for still in every if still.stored(folder) is None]
    for still in tqdm(missing, "stills", unit="stills", leave=False, disable=None):
        still.image(folder)
    for maker in {still.maker for still in missing}:
        maker.release()


def stills_line(pairs: Sequence[Pair], folder: Path) -> str:
    """How many stills there are to make, for a run's plan; "" where pairs need none."""
    stills = [still for pair in pairs for still in pair.stills]
    if not stills:
        return ""
    height, width = stills[0].size
    missing = sum(not still.path(folder).is_file() for still in stills)
    made = f"{missing} to be made" if missing else "all there"
    count = f"{len(stills)} stills of {width}x{height}"
    return f", {count} by {stills[0].maker.name} ({made}: {folder})"


def _procedural(size: tuple[int, int]) -> Iterator[Pair]:
    small = size[0] * size[1] <= ORACLE_PIXELS
    for content, seed in HELD_OUT_PAIRS:
        paint = content.painter(size, seed=seed)
        name = content.name.removeprefix("morph-")
        painter = paint if small else None
        yield Pair(name, paint(0.0), paint(1.0), category=content.kind, painter=painter)


def _photographs(size: tuple[int, int]) -> Iterator[Pair]:
    for first, second in dict.fromkeys((pair.first, pair.second) for pair in PAIRS):
        prompt = f"{PHRASES[first]} gradually turns into {PHRASES[second]}, smooth transformation"
        ends = photograph(first, size), photograph(second, size)
        yield Pair(f"{first}-{second}", *ends, prompt, category="photographs")


def _entries(path: Path) -> Iterator[dict[str, str]]:
    """The entries of a file, each with `where` it stands; checked, but for what images hold."""
    content = read_yaml(path)
    if not isinstance(content, list) or not content:
        raise ConfigError(f"{path}: there is no list of pairs; {LAYOUT}")
    seen: set[str] = set()
    for number, entry in enumerate(content, start=1):
        where = f"{path}: pair {number}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{where} is {brief(entry)}; {LAYOUT}")
        for key in entry:
            choose(str(key), KEYS, f"key of {where}")
        ends, others = (WORDS, IMAGES) if "first_prompt" in entry else (IMAGES, WORDS)
        for key in ("name", ends[0]):
            if key not in entry:
                raise ConfigError(f"{where} has no {key}; {LAYOUT}")
        if mixed := [key for key in others if key in entry]:
            both = f"{ends[0]} and {mixed[0]}"
            raise ConfigError(f"{where} has {both}; give two images or two descriptions")
        for key, value in entry.items():
            needed = key in ("name", *ends)
            if not isinstance(value, str) or (needed and not value.strip()):
                raise ConfigError(f"{where}: {key}={brief(value)} must be text")
        name = entry["name"]
        if not name.isprintable():
            raise ConfigError(f"{where}: name={name!r} must be one line of printable letters")
        if name in seen:
            raise ConfigError(f"{where}: the name {name!r} is taken already; choose another")
        seen.add(name)
        yield {**entry, "where": where}


def _pair(entry: Mapping[str, str], frames: tuple[Frame, Frame | None], where: str) -> Pair:
    first, last = frames
    if last is not None and last.shape != first.shape:
        sizes = " and ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (first, last))
        raise ConfigError(f"{where}: its frames differ in size ({sizes}); resize one of them")
    return Pair(
        entry["name"],
        _black(first),
        None if last is None else _black(last),
        entry.get("prompt", ""),
        entry.get("negative_prompt"),
        entry.get("category", ""),
        stills=tuple(frame for frame in frames if isinstance(frame, StillImage)),
    )


def _black(frame: Frame) -> Image:
    """The image, or a black one in the place of a still."""
    return np.zeros(frame.shape, np.uint8) if isinstance(frame, StillImage) else frame
