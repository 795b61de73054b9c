"""Pairs of frames to generate between: rendered, photographs, or yours (docs/how-to/pairs.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from spf.errors import ConfigError, SpfError
from spf.generators.base import Image
from spf.identity import digest
from spf.video import GuardedReader, Sampling
from spf.words import choose
from spf.yaml_files import brief, read_yaml
from synthetic.drawing import Painter
from synthetic.morph_pairs import HELD_OUT_PAIRS
from synthetic.oracle import RenderOracle
from synthetic.photographs import PAIRS, photograph

SETS = ("procedural", "photographs")
KEYS = ("name", "first", "last", "prompt", "negative_prompt", "category")
NEEDED = ("name", "first")
LAYOUT = "expected a list of {name, first, last, prompt, negative_prompt, category}"

ORACLE_PIXELS = 128 * 128
"""Larger renders would fill the memory: their pairs have no oracle."""

PHRASES = {
    "astronaut": "an astronaut",
    "brick": "a brick wall",
    "camera": "a man with a camera",
    "cat": "a tabby cat",
    "coffee": "a cup of coffee",
    "coins": "old coins",
    "galaxies": "a field of galaxies",
    "grass": "grass",
    "gravel": "gravel",
    "moon": "the surface of the moon",
    "motorcycle": "a motorcycle",
    "page": "a printed page",
    "retina": "the retina of an eye",
    "rocket": "a rocket on its pad",
    "tissue": "tissue under a microscope",
}


@dataclass(frozen=True, eq=False)
class Pair:
    """A first and a last frame, (H, W, 3) uint8 RGB, and what the model is told.

    last : None where the model is free to end. category : kind of transition, for tables.
    painter : the true morph between the two, p in 0..1 -> frame; None where none is known.
    """

    name: str
    first: Image
    last: Image | None = None
    prompt: str = ""
    negative_prompt: str | None = None
    category: str = ""
    painter: Painter | None = None

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
        }

    @cached_property
    def oracle(self) -> RenderOracle | None:
        """Reads the true parameter off frames; None where there is no true morph."""
        return None if self.painter is None else RenderOracle(self.painter)


def load_pairs(source: str, size: tuple[int, int]) -> list[Pair]:
    """The pairs of a word of `SETS`, at (height, width), or of a YAML file.

    Raises ConfigError, in one line, for an unknown word and whatever is wrong with the file.
    """
    if not isinstance(source, str):
        raise ConfigError(f"pairs={source!r} must be a word ({', '.join(SETS)}) or a YAML file")
    if Path(source).suffix.lower() in (".yaml", ".yml") or Path(source).is_file():
        return list(_read(Path(source)))
    word = choose(source, SETS, "set of pairs (or give a YAML file)")
    return list(_procedural(size) if word == "procedural" else _photographs(size))


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


def _read(path: Path) -> Iterator[Pair]:
    try:
        content = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())[:120]
        raise ConfigError(f"{path}: this is no YAML ({why}); {LAYOUT}") from None
    if not isinstance(content, list) or not content:
        raise ConfigError(f"{path}: there is no list of pairs; {LAYOUT}")
    seen: set[str] = set()
    for number, entry in enumerate(content, start=1):
        where = f"{path}: pair {number}"
        if not isinstance(entry, dict):
            raise ConfigError(f"{where} is {brief(entry)}; {LAYOUT}")
        for key in entry:
            choose(str(key), KEYS, f"key of {where}")
        for key in NEEDED:
            if key not in entry:
                raise ConfigError(f"{where} has no {key}; {LAYOUT}")
        for key, value in entry.items():
            if not isinstance(value, str) or (key in NEEDED and not value.strip()):
                raise ConfigError(f"{where}: {key}={brief(value)} must be text")
        pair = _pair(entry, where, path.parent)
        if pair.name in seen:
            raise ConfigError(f"{where}: the name {pair.name!r} is taken already; choose another")
        seen.add(pair.name)
        yield pair


def _pair(entry: dict[str, str], where: str, folder: Path) -> Pair:
    if not entry["name"].isprintable():
        raise ConfigError(f"{where}: name={entry['name']!r} must be one line of printable letters")
    first = _image(folder / entry["first"], where)
    last = _image(folder / entry["last"], where) if "last" in entry else None
    if last is not None and last.shape != first.shape:
        sizes = " and ".join(f"{image.shape[1]}x{image.shape[0]}" for image in (first, last))
        raise ConfigError(f"{where}: its frames differ in size ({sizes}); resize one of them")
    return Pair(
        entry["name"],
        first,
        last,
        entry.get("prompt", ""),
        entry.get("negative_prompt"),
        entry.get("category", ""),
    )


def _image(path: Path, where: str) -> NDArray[np.uint8]:
    """The first frame of an image (or of a clip)."""
    try:
        with GuardedReader(path, Sampling(max_frames=1)) as reader:
            ((image, _),) = reader  # to its end, so that the next image has the same decoder
            return image
    except SpfError as error:
        raise ConfigError(f"{where}: {error}") from None
