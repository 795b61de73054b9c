"""Clip -> Curve: read, embed and fit in one pass."""

from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spf.embedders import DEFAULT_EMBEDDER, Embedder, Embeddings, embed_clip, load_embedder
from spf.embedders.base import Source, Watch
from spf.errors import ClipError
from spf.progress import Curve, Segment, Settings, fit
from spf.progress.solver import RIDGE, SIGMA, WINDOW
from spf.progress.stretches import Stretch, analysis_segments, notable, stretches
from spf.thumbnails import Thumbnails
from spf.video import Sampling

DEFAULT_SETTINGS = Settings(WINDOW, SIGMA, RIDGE, 1.0, "gradient", "none")


@dataclass(frozen=True, eq=False)
class Measurement:
    """What measuring a clip gives: curve, embeddings, small pictures, seconds by stage."""

    curve: Curve
    embeddings: Embeddings
    thumbnails: Thumbnails
    seconds: dict[str, float]

    @cached_property
    def segments(self) -> list[Segment]:
        """The curve as straight pieces; none where nothing changes."""
        return analysis_segments(self.curve) if self.curve.changes else []

    @cached_property
    def named_stretches(self) -> list[Stretch]:
        """The dead stretches and jumps that are worth a person's while, in order of time."""
        parts = stretches(self.curve, self.segments)
        found = [*notable(parts, "dead"), *notable(parts, "jump")]
        return sorted(found, key=lambda part: part.start)


def measure_clip(
    source: Source,
    embedder: Embedder,
    settings: Settings = DEFAULT_SETTINGS,
    sampling: Sampling | None = None,
    batch_size: int | None = None,
    watch: Watch | None = None,
) -> Measurement:
    """Embed a clip (see `embed_clip`) and fit its curve.

    Raises ClipError where the clip cannot be read or has fewer than 2 frames.
    """
    thumbnails = Thumbnails()

    def see(image: NDArray[np.uint8], time: float) -> None:
        thumbnails.add(image)
        if watch is not None:
            watch(image, time)

    started = perf_counter()
    embeddings = embed_clip(source, embedder, batch_size, sampling, see)
    embedded = perf_counter()
    if len(embeddings.vectors) < 2:
        name = embeddings.info.path if embeddings.info else "frames"
        raise ClipError(name, "it has 1 frame", "a change needs at least 2: give a longer clip")
    curve = fit(embeddings.vectors, embeddings.times, **vars(settings))
    seconds = {"embed": embedded - started, "fit": perf_counter() - embedded}
    return Measurement(curve, embeddings, thumbnails, seconds)


def embed(
    source: Source,
    embedder: str | Embedder = DEFAULT_EMBEDDER,
    device: str = "auto",
    batch_size: int | None = None,
) -> NDArray[np.float32]:
    """Embed the frames of a clip.

    Parameters
    ----------
    source : path of a clip, or frames (T, H, W, 3) uint8 RGB.
    embedder : a word of `spf.EMBEDDERS`, or an object like them. The default is a control
        (colour and edge histograms): it sees no meaning.
    device : "auto", "cpu" or "cuda"; the controls always run on the CPU.
    batch_size : frames per batch; None takes the embedder's own.

    Returns
    -------
    (T, D) float32, rows of unit length.

    Raises ClipError for what cannot be read, ConfigError for an unknown embedder.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    return embed_clip(source, load_embedder(embedder), batch_size).vectors


def measure(
    source: Source,
    embedder: str | Embedder = DEFAULT_EMBEDDER,
    sampling: Sampling | None = None,
    **settings: Any,
) -> Curve:
    """Embed a clip and fit its Semantic Progress Function, at the clip's own time stamps.

    `settings` are those of `spf.fit`. Raises ClipError where the clip cannot be measured.
    """
    chosen = Settings(**(vars(DEFAULT_SETTINGS) | settings))
    return measure_clip(source, load_embedder(embedder), chosen, sampling).curve
