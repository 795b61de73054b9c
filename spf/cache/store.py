"""The folder of entries: read, computed once, written whole, bounded in size."""

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from spf.cache.claims import Claim, tell
from spf.embedders import Embeddings
from spf.errors import ConfigError, SpfError
from spf.files import NO_ARCHIVE, sweep, write_atomic
from spf.fingerprint import canonical
from spf.thumbnails import Thumbnails
from spf.video import ClipInfo, content_hash

DEFAULT_SIZE = "10GB"
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
CHECKSUM = 32  # bytes of SHA-256 at the end of an entry

Entry = tuple[Embeddings, Thumbnails]


class Cache:
    """Entries in `folder`/embeddings, of at most `bound` bytes together."""

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder = folder / "embeddings"
        self.bound = bound
        self._complained = False

    def fetch(
        self, source: Path, fields: dict[str, Any], compute: Callable[[], Entry]
    ) -> tuple[Entry, bool]:
        """The entry of a clip with this key, and whether it was here; else it is computed and kept.

        Where another process computes it, waits for that one. A folder that refuses costs a line
        of warning, once, and nothing else; what `compute` raises is raised and not kept.
        """
        path = self.path(fields)
        claim = Claim(path.with_suffix(".lock"))
        while (found := self._read(path, source, fields)) is None:
            try:
                if claim.take():
                    break
            except OSError as error:
                self._complain(error)
                return compute(), False
            claim.wait(source.name)
        if found is not None:
            return found, True
        try:
            # Another process may have finished just before the claim was free.
            found = self._read(path, source, fields)
            if found is not None:
                return found, True
            made = compute()
            if content_hash(source) == fields["content"]:  # it may have changed while it was read
                self._keep(path, _pack(made, fields))
            return made, False
        finally:
            claim.release()

    def path(self, fields: dict[str, Any]) -> Path:
        """Where the entry of a key lies."""
        key = hashlib.sha256(canonical(fields)).hexdigest()
        return self.folder / f"{fields['name']}-{key}.npz"

    def entries(self, embedder: str = "*") -> list[tuple[Path, os.stat_result]]:
        """Files of the entries (of one embedder) with their state, least recently used first."""
        found = []
        for path in self.folder.glob(f"{embedder}-*.npz"):
            with suppress(OSError):  # another process has just removed it
                found.append((path, path.stat()))
        return sorted(found, key=lambda entry: entry[1].st_mtime_ns)

    def clear(self, embedder: str = "*") -> tuple[int, int]:
        """Remove the entries (of one embedder); returns their number and bytes.

        Raises SpfError where the disk refuses.
        """
        entries = self.entries(embedder)
        try:
            for path, _ in entries:
                path.unlink(missing_ok=True)
        except OSError as error:
            why = f"its entries cannot be removed ({error.strerror})"
            raise SpfError(f"{self.folder}: {why}; change its permissions") from None
        return len(entries), sum(state.st_size for _, state in entries)

    def _read(self, path: Path, source: Path, fields: dict[str, Any]) -> Entry | None:
        try:
            data = path.read_bytes()
        except OSError:
            return None
        entry = _unpack(data, source, fields)
        with suppress(OSError):  # the folder may be read-only
            if entry is None:
                tell(f"cache: {path.name} is damaged and removed; {source.name} is embedded again")
                path.unlink(missing_ok=True)
            else:
                os.utime(path)  # the time of use: the disk's own is not kept everywhere
        return entry

    def _keep(self, path: Path, data: bytes) -> None:
        if len(data) > self.bound:
            return
        try:
            write_atomic(path, data)
            self._make_room(path)
            sweep([*self.folder.glob(".spf-*"), *self.folder.glob("*.lock")])
        except OSError as error:
            self._complain(error)

    def _make_room(self, newest: Path) -> None:
        """Keep to the bound; the newest entry stays. Raises OSError."""
        entries = self.entries()
        size = sum(state.st_size for _, state in entries)
        for old, state in entries:
            if size <= self.bound:
                break
            if old != newest:
                with suppress(OSError):
                    old.unlink(missing_ok=True)
                size -= state.st_size

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            why = error.strerror or str(error)
            tell(f"cache: {self.folder} cannot be written ({why}); going on without it")


def user_cache() -> Cache:
    """The cache that the environment asks for: see `spf.cache`.

    Raises ConfigError where SPF_CACHE_SIZE is no size.
    """
    given = os.environ.get("SPF_CACHE_DIR")
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if given:
        folder = Path(given).expanduser()
    elif os.path.isabs(shared):  # others are to be ignored, as the specification has it
        folder = Path(shared) / "spf"
    else:
        try:
            folder = Path.home() / ".cache" / "spf"
        except RuntimeError:  # this user has none: the cache will say that it cannot be written
            folder = Path(os.devnull)
    return Cache(folder.absolute(), parse_size(os.environ.get("SPF_CACHE_SIZE") or DEFAULT_SIZE))


def parse_size(text: str) -> int:
    """Bytes of a size such as "500MB", "1.5 GB" or "0" (decimal units). Raises ConfigError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2].upper() not in UNITS:
        raise ConfigError(f"SPF_CACHE_SIZE={text!r} is no size; give one such as 500MB or 10GB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def _pack(entry: Entry, fields: dict[str, Any]) -> bytes:
    """An .npz without pickles, with all that is no array as JSON, and its SHA-256 behind it."""
    embeddings, thumbnails = entry
    assert embeddings.info is not None  # a file's
    about = {
        "key": fields,
        "unit": embeddings.unit,
        "notes": embeddings.notes,
        "info": {name: value for name, value in vars(embeddings.info).items() if name != "path"},
        "thumbnails": {name: value for name, value in vars(thumbnails).items() if name != "images"},
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        vectors=embeddings.vectors,
        times=embeddings.times,
        changes=embeddings.changes,
        range=embeddings.range,
        images=np.stack(thumbnails.images),
        about=np.frombuffer(canonical(about), np.uint8),
    )
    data = buffer.getvalue()
    return data + hashlib.sha256(data).digest()


def _unpack(data: bytes, source: Path, fields: dict[str, Any]) -> Entry | None:
    """The entry in a file's bytes; None where they are damaged or another key's, or hold NaN."""
    data, checksum = data[:-CHECKSUM], data[-CHECKSUM:]
    if hashlib.sha256(data).digest() != checksum:
        return None
    try:
        return _entry(data, source, fields)
    except NO_ARCHIVE:  # whole, and yet none of ours
        return None


def _entry(data: bytes, source: Path, fields: dict[str, Any]) -> Entry | None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > len(data):
            return None  # ours are not compressed: it would grow
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        about = json.loads(stored["about"].tobytes())
        if canonical(about["key"]) != canonical(fields):
            return None
        vectors = stored["vectors"]
        if not np.isfinite(vectors).all():
            return None
        embeddings = Embeddings(
            vectors,
            stored["times"],
            about["unit"],
            ClipInfo(path=source, **about["info"]),
            about["notes"],
            stored["changes"],
            float(stored["range"]),
        )
        small = about["thumbnails"]
        small["source_size"] = tuple(small["source_size"])
        return embeddings, Thumbnails(images=list(stored["images"]), **small)
