"""What determines the embeddings of a clip."""

import platform
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from spf.embedders import Embedder, embed_clip
from spf.fingerprint import installed
from spf.identity import code_hash
from spf.thumbnails import Thumbnails
from spf.video import Sampling, content_hash

LIBRARIES = ("av", "pillow", "numpy", "torch", "torchvision", "open-clip-torch", "transformers")
"""Distributions whose version can move a pixel or a vector."""


def key_fields(
    path: Path, embedder: Embedder, sampling: Sampling, batch_size: int | None
) -> dict[str, Any] | None:
    """Everything that determines the embeddings of a clip, as plain data.

    The batch size is part of it: with another one, a matrix product may round otherwise. None where
    nothing is kept: the clip cannot be read, or the embedder is not one of `spf.embedders`.
    """
    if not type(embedder).__module__.startswith("spf.embedders."):
        return None
    found = content_hash(path)
    if found is None:
        return None
    return {
        "name": embedder.name,
        "content": found,
        "suffix": path.suffix.lower(),  # FFmpeg tells formats by it where the bytes do not
        "sampling": asdict(sampling),
        "embedder": embedder.identity(),
        "batch_size": embedder.batch_size if batch_size is None else batch_size,
        "libraries": libraries(),
        "code": code_hash(embed_clip, Thumbnails, type(embedder)),
    }


@lru_cache
def libraries() -> dict[str, Any]:
    """Versions of the libraries that decode and compute, and the kind of processor."""
    import av
    import cv2

    ffmpeg = {name: list(numbers) for name, numbers in av.library_versions.items()}
    return {"ffmpeg": ffmpeg, "cv2": cv2.__version__, "machine": platform.machine()} | installed(
        *LIBRARIES
    )
