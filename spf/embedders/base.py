"""What an embedder is, and how a clip is streamed through one."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spf.errors import ClipError, ConfigError
from spf.video import ClipInfo, Reader, Sampling

Image = NDArray[np.uint8]
Source = str | os.PathLike[str] | ArrayLike | Iterator[tuple[Image, float]]
Watch = Callable[[Image, float], None]


class Embedder(Protocol):
    """Frames -> vectors. `prepare` runs a frame at a time, `encode` a batch at a time.

    name : the word that chooses it. control : whether it is a control (no semantics in it), which
    every table says. batch_size : frames per batch unless the caller asks for another.
    """

    name: str
    control: bool
    batch_size: int

    def prepare(self, image: Image) -> NDArray[Any]:
        """What the model is given for a frame (H, W, 3) uint8 RGB: one fixed shape and dtype."""
        ...

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Vectors (B, D) float32, of any positive length, of B prepared frames."""
        ...

    def identity(self) -> dict[str, Any]:
        """Everything that determines the vectors, beside the frames: it is part of cache keys."""
        ...


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Vectors (T, D) float32 with unit rows, times (T,) float64, and what was read.

    `unit` is that of the times: "s", or "frames" where no rate is known. `info` is None for frames
    that came from memory; `notes` has a line for each thing lost.
    """

    vectors: NDArray[np.float32]
    times: NDArray[np.float64]
    unit: Literal["s", "frames"] = "s"
    info: ClipInfo | None = None
    notes: list[str] = field(default_factory=list)


def embed_clip(
    source: Source,
    embedder: Embedder,
    batch_size: int | None = None,
    sampling: Sampling | None = None,
    watch: Watch | None = None,
) -> Embeddings:
    """Stream a clip through an embedder; memory does not grow with the clip, but for its vectors.

    source : path, frames (T, H, W, 3) uint8 (times are their indices), or an iterable of
    (image, seconds). sampling : of a file's frames; frames from memory are all used.
    watch : called with every frame and its time, in order (progress bars, thumbnails).

    Raises ClipError for what cannot be read and where the embedder returns NaN or zeros,
    ConfigError for a sampling of frames from memory.
    """
    size = embedder.batch_size if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, not {size!r}")
    if isinstance(source, str | os.PathLike):
        with Reader(source, sampling or Sampling()) as reader:
            vectors, times = _stream(reader, embedder, size, watch)
            unit: Literal["s", "frames"] = "frames" if reader.info.fps is None else "s"
            found = _unit(vectors, source), times, unit, reader.info, list(reader.notes)
            return Embeddings(*found)
    if sampling not in (None, Sampling()):
        raise ConfigError("sampling applies to files; choose the frames before they are given")
    if isinstance(source, Iterator):
        vectors, times = _stream(source, embedder, size, watch)
        return Embeddings(_unit(vectors, "frames"), times)
    vectors, times = _stream(_frames(np.asarray(source)), embedder, size, watch)
    return Embeddings(_unit(vectors, "frames"), times, "frames")


def _frames(frames: NDArray[Any]) -> Iterator[tuple[Image, float]]:
    fits = frames.ndim == 4 and frames.shape[-1] == 3 and frames.dtype == np.uint8
    if not fits or 0 in frames.shape:
        raise ValueError(f"frames must be (T, H, W, 3) uint8, not {frames.shape} {frames.dtype}")
    return ((image, float(index)) for index, image in enumerate(frames))


def _stream(
    frames: Iterable[tuple[Image, float]], embedder: Embedder, size: int, watch: Watch | None
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    prepared: list[NDArray[Any]] = []
    times: list[float] = []
    vectors: list[NDArray[np.float32]] = []
    for image, time in frames:
        if watch is not None:
            watch(image, time)
        prepared.append(embedder.prepare(image))
        times.append(time)
        if len(prepared) == size:
            vectors.append(embedder.encode(np.stack(prepared)))
            prepared.clear()
    if prepared:
        vectors.append(embedder.encode(np.stack(prepared)))
    if not vectors:
        raise ClipError("frames", "there are no frames", "give at least one")
    return np.concatenate(vectors), np.array(times)


def _unit(vectors: NDArray[np.float32], source: object) -> NDArray[np.float32]:
    """Rows of length 1, float32, normalised in float64."""
    rows = vectors.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        which = f"the embedder gave NaN or zeros for frame {int(np.argmax(bad))}"
        raise ClipError(source, which, "try another embedder, device or precision")
    return (rows / norms[:, None]).astype(np.float32)
