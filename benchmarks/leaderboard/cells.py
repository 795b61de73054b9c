"""What is computed of one clip of a folder: its measurement, its scores, its plot and its film.

Finished clips are computed again after a change of the code that this module imports, so it imports
neither the leaderboard's tables nor its pages.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness.cells import Cell, OnProgress, Outcome
from benchmarks.harness.folder import slug
from benchmarks.harness.measuring import Measuring
from benchmarks.harness.quality import clip_columns, quality_inputs
from benchmarks.leaderboard.images import Images
from spf.errors import ClipError
from spf.generators.folder import FolderClip, clip_digest
from spf.names import printable
from spf.quality import NoQuality, Quality
from spf.thumbnails import Thumbnails, tiled

ACROSS = 16
"""Frames beside each other in a film."""
FILM_BYTES = 700_000
"""Of a film at most, white noise excepted: a page shows a dozen of them at once."""


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
    sheet = Image.fromarray(tiled(np.stack(thumbnails.images), ACROSS))
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
