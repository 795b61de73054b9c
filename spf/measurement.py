"""Clip -> Curve: read, embed and fit in one pass."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.embedders import DEFAULT_EMBEDDER, Embedder, Embeddings, embed_clip, load_embedder
from spf.embedders.base import Image, Source, Watch
from spf.errors import ClipError
from spf.progress import Curve, Settings, fit
from spf.progress.solver import RIDGE, SIGMA, WINDOW
from spf.video import Sampling

DEFAULT_SETTINGS = Settings(WINDOW, SIGMA, RIDGE, 1.0, "gradient", "none")


@dataclass(eq=False)
class Thumbnails:
    """Small pictures of a clip at even distances, at most `limit` however long it is.

    Keeps every `stride`-th frame; when there are too many, every second one goes.
    """

    height: int = 96
    limit: int = 128
    stride: int = 1
    seen: int = 0
    source_size: tuple[int, int] = (0, 0)
    images: list[Image] = field(default_factory=list)

    def add(self, image: Image) -> None:
        self.source_size = image.shape[0], image.shape[1]
        if self.seen % self.stride == 0:
            width = max(1, round(image.shape[1] * self.height / image.shape[0]))
            size = (min(width, 4 * self.height), self.height)
            self.images.append(
                np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            )
            if len(self.images) > self.limit:
                del self.images[1::2]
                self.stride *= 2
        self.seen += 1

    def nearest(self, frame: int) -> tuple[int, Image]:
        """The kept frame nearest to `frame`: its index and picture."""
        index = min(round(frame / self.stride), len(self.images) - 1)
        return index * self.stride, self.images[index]


@dataclass(frozen=True, eq=False)
class Measurement:
    """What measuring a clip gives: its curve, its embeddings and small pictures of it."""

    curve: Curve
    embeddings: Embeddings
    thumbnails: Thumbnails


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

    embeddings = embed_clip(source, embedder, batch_size, sampling, see)
    if len(embeddings.vectors) < 2:
        name = embeddings.info.path if embeddings.info else "frames"
        raise ClipError(name, "it has 1 frame", "a change needs at least 2: give a longer clip")
    curve = fit(embeddings.vectors, embeddings.times, **vars(settings))
    return Measurement(curve, embeddings, thumbnails)


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
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size!r}")
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
