"""Embeddings on disk: a clip that was embedded before is not decoded again.

An entry holds a clip's vectors and times, what was read and lost, and thumbnails; its key is a hash
of everything that determines it. The folder is SPF_CACHE_DIR, else XDG_CACHE_HOME/spf, else
~/.cache/spf, bounded by SPF_CACHE_SIZE.
"""

import hashlib
import io
import os
import platform
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from spf.embedders import Embedder, Embeddings, embed_clip
from spf.errors import ConfigError, SpfError
from spf.files import NO_ARCHIVE
from spf.identity import canonical, code_hash, installed
from spf.store import Entry, Store, warn
from spf.thumbnails import Thumbnails
from spf.video import ClipInfo, Sampling, content_hash

DEFAULT_SIZE = "10GB"  # decimal units
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
LIBRARIES = ("av", "pillow", "numpy", "torch", "torchvision", "open-clip-torch", "transformers")
"""Distributions whose version can move a pixel or a vector."""

ARRAYS = "arrays.npz"
NAMES = ("vectors", "times", "changes", "range", "differences")
"""Fields of `Embeddings` that are arrays."""

Embedded = tuple[Embeddings, Thumbnails]


@dataclass
class Slot:
    """The place of a clip in a cache, or in none."""

    found: Embedded | None = None
    made: Embedded | None = None


class Cache:
    """Embeddings in `folder`/embeddings, of at most `bound` bytes together."""

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder = folder / "embeddings"
        self.bound = bound
        self.scores = Store(folder / "quality")
        self._store = Store(self.folder, bound)
        self._complained = False

    @contextmanager
    def slot(self, source: Path, fields: dict[str, Any]) -> Iterator["Slot"]:
        """The place of a clip with this key: what is `found` in it, else what is put in as `made`.

        Where another process computes it, waits for that one. A folder that refuses costs a line
        of warning, once, and nothing else; where the body raises, nothing is stored.
        """
        key = f"{fields['name']}-{hashlib.sha256(canonical(fields)).hexdigest()}"
        slot = Slot(self._load(key, source, fields))
        with ExitStack() as locks:
            if slot.found is None:
                try:
                    locks.enter_context(self._store.lock(key, wait=source.name))
                    # Another process may have finished just before the lock was free.
                    slot.found = self._load(key, source, fields)
                except OSError as error:
                    self._complain(error)
                    yield slot
                    return
            yield slot
            # It may have changed while it was read.
            if slot.made is not None and content_hash(source) == fields["content"]:
                try:
                    self._store.put(key, *_pack(slot.made, fields))
                    self._store.sweep()
                except OSError as error:
                    self._complain(error)

    def entries(self, embedder: str = "") -> list[tuple[str, int]]:
        """Keys and bytes of the entries (of one embedder), least recently used first."""
        return self._store.entries(f"{embedder}-" if embedder else "")

    def clear(self, embedder: str = "") -> tuple[int, int]:
        """Remove the entries (of one embedder); returns their number and bytes. Raises SpfError."""
        entries = self.entries(embedder)
        try:
            for key, _ in entries:
                self._store.remove(key)
        except OSError as error:
            why = f"its entries cannot be removed ({error.strerror})"
            raise SpfError(f"{self.folder}: {why}; change its permissions") from None
        return len(entries), sum(size for _, size in entries)

    def _load(self, key: str, source: Path, fields: dict[str, Any]) -> Embedded | None:
        try:
            entry = self._store.get(key)
            found = None if entry is None else _unpack(entry, source, fields)
            if found is None and (self.folder / key).exists():
                warn(f"cache: {key} is damaged and removed; {source.name} is embedded again")
                self._store.remove(key)
            return found
        except OSError:  # it cannot be read, or not be removed
            return None

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            why = error.strerror or str(error)
            warn(f"cache: {self.folder} cannot be written ({why}); going on without it")


def user_cache() -> Cache:
    """The cache that the environment asks for. Raises ConfigError for a wrong SPF_CACHE_SIZE."""
    own = os.environ.get("SPF_CACHE_DIR")
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if own:
        folder = Path(own).expanduser()
    elif os.path.isabs(shared):  # others are to be ignored, as the specification has it
        folder = Path(shared) / "spf"
    else:
        try:
            folder = Path.home() / ".cache" / "spf"
        except RuntimeError:  # this user has none: the cache will say that it cannot be written
            folder = Path(os.devnull)
    text = os.environ.get("SPF_CACHE_SIZE") or DEFAULT_SIZE
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Z]*)", text.strip().upper())
    if match is None or match[2] not in UNITS:
        raise ConfigError(f"SPF_CACHE_SIZE={text!r} is no size; give one such as 500MB or 10GB")
    return Cache(folder.absolute(), int(float(match[1]) * UNITS[match[2]]))


def key_fields(
    path: Path,
    embedder: Embedder,
    sampling: Sampling,
    batch_size: int | None,
    nuisance: str = "none",
) -> dict[str, Any] | None:
    """Everything that determines the embeddings of a clip, as plain data.

    The batch size is part of it: with another one, a matrix product may round otherwise. None where
    nothing is cached: the clip cannot be read, or no key covers the code of the embedder, as it is
    not one of `spf.embedders`.
    """
    ours = type(embedder).__module__.startswith("spf.embedders.")
    found = content_hash(path) if ours else None
    if found is None:
        return None
    return {
        "name": embedder.name,
        "content": found,
        "suffix": path.suffix.lower(),  # FFmpeg distinguishes formats by it where the bytes do not
        "sampling": asdict(sampling),
        "embedder": embedder.identity(),
        "batch_size": embedder.batch_size if batch_size is None else batch_size,
        "nuisance": nuisance,
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


def _pack(made: Embedded, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What an entry is about, and its file: arrays without pickles."""
    embeddings, thumbnails = made
    assert embeddings.info is not None  # a file's
    about = {
        "key": fields,
        "unit": embeddings.unit,
        "notes": embeddings.notes,
        "info": {name: value for name, value in vars(embeddings.info).items() if name != "path"},
        "thumbnails": {name: value for name, value in vars(thumbnails).items() if name != "images"},
    }
    buffer = io.BytesIO()
    arrays = {name: getattr(embeddings, name) for name in NAMES}
    np.savez(buffer, **arrays, images=np.stack(thumbnails.images))
    return about, {ARRAYS: buffer.getvalue()}


def _unpack(entry: Entry, source: Path, fields: dict[str, Any]) -> Embedded | None:
    """What was packed; None where it is damaged or another key's, or holds NaN."""
    try:
        data, about = entry.read(ARRAYS), entry.about
        if data is None or canonical(about["key"]) != canonical(fields):
            return None
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(file.file_size for file in archive.infolist()) > len(data):
                return None  # ours are not compressed: it would grow
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in NAMES}
            arrays["range"] = float(arrays["range"])
            images = list(stored["images"])
        info = ClipInfo(path=source, **about["info"])
        embeddings = Embeddings(**arrays, unit=about["unit"], info=info, notes=about["notes"])
        small = about["thumbnails"] | {"source_size": tuple(about["thumbnails"]["source_size"])}
        whole = np.isfinite(embeddings.vectors).all() and np.isfinite(embeddings.differences).all()
        return (embeddings, Thumbnails(images=images, **small)) if whole else None
    except NO_ARCHIVE:  # whole, and yet none of ours
        return None
