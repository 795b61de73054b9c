"""What is computed of one clip of a folder: its measurement, its scores, its plot and its film.

Finished clips are computed again after a change of the code that this module imports, so it imports
neither the leaderboard's tables nor its pages.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from benchmarks.harness.cells import Cell, OnProgress, Outcome
from benchmarks.harness.folder import slug
from benchmarks.harness.measuring import Measuring
from benchmarks.harness.quality import clip_columns, quality_inputs
from spf.embedders import Embedder
from spf.errors import ClipError, ConfigError
from spf.generators.folder import FolderClip, clip_digest
from spf.names import normalized_name, printable
from spf.quality import Conditions, NoQuality, Quality
from spf.quality.fidelity import ENDS, cropped, end_fidelity
from spf.thumbnails import Image, Thumbnails, tiled
from spf.video import IMAGE_SUFFIXES, GuardedReader, content_hash, read_image

LAYOUT = "expected PAIR.png, and PAIR.last.png where a clip has a last frame"
CUT = 0.02
"""Share of a side from which on cutting an image to the clip's aspect is noted."""
ACROSS = 16
"""Frames beside each other in a film."""
FILM_BYTES = 700_000
"""Of a film at most, white noise excepted: a page shows a dozen of them at once."""


class Images:
    """First and last frames by pair. folder : None where there are none.

    Raises ConfigError for a folder that cannot be listed, holds no image, or two of one name.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._paths: dict[str, Path] = {}
        if folder is None:
            return
        try:
            found = sorted(x for x in folder.iterdir() if x.suffix.lower() in IMAGE_SUFFIXES)
        except OSError as error:
            why = f"cannot be read ({error.strerror}); check the path"
            raise ConfigError(f"model.images={folder}: {why}") from None
        if not found:
            raise ConfigError(f"model.images={folder}: there is no image in it; {LAYOUT}")
        for path in found:
            if other := self._paths.get(name := normalized_name(path.stem)):
                names = f"{printable(other.name)} and {printable(path.name)}"
                raise ConfigError(f"model.images={folder}: {names} have one name; keep one")
            self._paths[name] = path

    def identity(self, pair: str) -> dict[str, Any]:
        """What of it determines a clip's row: nothing where there are no images."""
        if self.folder is None:
            return {}
        paths = [self._path(pair, end) for end in ENDS]
        return {"images": [path and content_hash(path) for path in paths]}

    def compared(
        self, clip: FolderClip, embedder: Embedder
    ) -> tuple[dict[str, float], Conditions, list[str]]:
        """Columns of `FIDELITY`, where there are images; what the clip was generated from; notes.

        The clip is decoded once more for its end frames: its embeddings may come from the cache,
        and of sampled ones the last is not the clip's last frame.
        """
        prompt = clip.path.stem  # VBench names clips by their prompts
        if self.folder is None:
            why = "no first frames, name their folder: model.images=IMAGES"
            return {}, Conditions(prompt=prompt, absent=why), []
        with GuardedReader(clip.path) as reader:
            first = last = next(reader)[0]
            for image, _ in reader:
                last = image
        height, width, _ = first.shape
        frames: dict[str, Image] = {}
        notes: dict[str, str] = {}
        for end in ENDS:
            if (path := self._path(clip.pair, end)) is None:
                notes |= {end: "model.images has no first frame of it"} if end == "first" else {}
                continue
            try:
                image = read_image(path)
            except ClipError as error:
                notes[end] = f"model.images: {printable(path.name)}: {error.reason}"
                continue
            if abs(image.shape[0] / image.shape[1] * width / height - 1) > CUT:
                notes[end] = f"its {end} frame was cut to the clip's aspect"
            frames[end] = cropped(image, (height, width))
        absent = "" if "first" in frames else notes["first"]
        conditions = Conditions(frames.get("first"), frames.get("last"), prompt, absent)
        return end_fidelity(first, last, conditions, embedder), conditions, list(notes.values())

    def _path(self, pair: str, end: str) -> Path | None:
        return self._paths.get(pair if end == "first" else f"{pair}.last")


def clip_cell(
    benchmark: str,
    measuring: Measuring,
    clip: FolderClip,
    under: str = "",
    category: str = "",
    quality: Quality | None = None,
    filmed: bool = False,
    images: Images | None = None,
) -> Cell:
    """The cell of a clip of a folder: measured and scored, with its curve and plot, and its film
    where that is wanted; `under` begins the names of its files. images : what it was made from."""
    key = measuring.key(benchmark, clip.pair, clip.generator)
    name = f"{clip.generator}/{printable(clip.path.name)}"
    content = clip_digest(clip)
    quality = quality or NoQuality()
    images = images or Images(None)
    known = {"source": name, "category": category, **quality_inputs(quality), **measuring.inputs()}
    known |= images.identity(clip.pair)
    inputs = None if content is None else {"clip": content, **known}

    def compute(on_progress: OnProgress) -> Outcome:
        if clip.problem is not None:
            raise clip.problem
        try:
            measured = measuring.measure(clip.path, on_progress)
            ends, conditions, notes = images.compared(clip, measuring.embedder)
        except ClipError as error:
            # By its place among the clips: rows must not depend on how the path was typed.
            raise ClipError(name, error.reason, error.remedy) from None
        stem = f"{under}{slug(clip.generator)}/{slug(clip.pair)}"
        outcome = measuring.outcome(measured, stem, f"{clip.generator}/{clip.pair}")
        outcome.values |= {"source": name, "category": category}
        if filmed:
            outcome.links["film"] = f"films/{stem}.webp"
            outcome.files[outcome.links["film"]] = film(measured.thumbnails)
        notes = [*filter(None, [outcome.values["notes"]]), *notes]
        outcome.values |= ends | {"notes": "; ".join(notes)}
        outcome.values |= clip_columns(quality, clip.path, measuring.cache, conditions)
        if clip_digest(clip) != content:
            raise ClipError(name, "it changed while it was read", "start again")
        return outcome

    return Cell(key, inputs, compute)


def film(thumbnails: Thumbnails) -> bytes:
    """All thumbnails of a clip as one WebP: `ACROSS` beside each other, read like a page."""
    sheet = PIL.Image.fromarray(tiled(np.stack(thumbnails.images), ACROSS))
    for quality in (70, 50, 30, 10):
        buffer = io.BytesIO()
        sheet.save(buffer, "WEBP", quality=quality, method=2)
        if buffer.tell() <= FILM_BYTES:
            break
    return buffer.getvalue()


def filmed_frames(count: int) -> NDArray[np.int_]:
    """Which frames of a clip of so many its film shows."""
    stride = 1
    while -(-count // stride) > Thumbnails.limit:
        stride *= 2
    return np.arange(0, count, stride)
