"""Files: written whole or not at all, read within bounds, YAML of strangers, downloads."""

import errno
import os
import secrets
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from reprlib import Repr
from typing import Any

import yaml

from spf.errors import ConfigError, UnavailableError, one_line

NO_ARCHIVE = (
    ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, RecursionError,
    NotImplementedError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What unpacking the bytes of an .npz of ours raises where they are damaged or hostile."""

LEFTOVER = 86_400.0
"""Seconds after which nobody is at work any more on what is half-written."""
LARGEST_YAML = 5_000_000
"""Bytes of a file; 20,000 pairs have about as many."""
DEEPEST = 50
"""Levels of YAML; reading takes the square of them."""
WAIT = 60
"""Seconds without a byte after which a server counts as gone."""
SHORT = Repr()
SHORT.maxlevel = 2


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a regular file of at most `most` bytes; OSError for any other."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file", str(path))  # a device is read for ever
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return data


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to a file as `moved_into_place` does. Raises OSError."""
    with moved_into_place(Path(path)) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


@contextmanager
def moved_into_place(target: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary name beside the target, for a file or a folder; moved to it once on the disk.

    durable : wait for the disk; needless for what is made again from elsewhere. Missing folders are
    made. Whatever is raised (OSError, KeyboardInterrupt), the old target stays as it was and
    nothing temporary is left; after SIGKILL something named `.spf-*.tmp` may be.
    """
    temporary = target.with_name(f".spf-{secrets.token_hex(8)}.tmp")
    aside = temporary.with_suffix(".old")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        for path in (temporary, *temporary.rglob("*")) if durable else ():
            synchronise(path)
        if temporary.is_dir() and target.is_dir():
            os.rename(target, aside)  # a folder that holds files cannot be renamed over
        try:
            os.replace(temporary, target)
        except BaseException:
            if aside.exists():
                os.rename(aside, target)
            raise
        if durable:
            synchronise(target.parent)
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) == str(temporary):
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        for leftover in (temporary, aside):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                with suppress(OSError):  # what was asked for is there, or its error is on its way
                    leftover.unlink(missing_ok=True)


def synchronise(path: Path) -> None:
    """Have the disk hold a file or a folder's entries, so that a power cut loses neither. Some file
    systems, and folders that may only be written, refuse the second."""
    with suppress(OSError) if path.is_dir() else nullcontext():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep(leftovers: Iterable[Path]) -> None:
    """Remove those that a killed process left half-written long ago."""
    for path in leftovers:
        with suppress(OSError):  # another process was faster
            if time.time() - path.stat().st_mtime > LEFTOVER:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


# YAML that others may have written


class _Loader(yaml.SafeLoader):
    """As SafeLoader, without what a few lines make grow for ever: levels, and merged mappings."""

    def fetch_flow_collection_start(self, token: Any) -> None:
        if self.flow_level >= DEEPEST:
            raise yaml.YAMLError("it is nested too deeply")
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> bool:
        if len(self.indents) >= DEEPEST:
            raise yaml.YAMLError("it is nested too deeply")
        return bool(super().add_indent(column))

    def flatten_mapping(self, node: Any) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("mappings are merged (<<); write them out")
        super().flatten_mapping(node)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, as data alone. Raises ConfigError for what cannot be read as that."""
    try:
        return _Loader(read_bounded(path, LARGEST_YAML).decode("utf-8")).get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"{path}: cannot be read ({why}); check the file") from None
    except RecursionError:
        why = "it is nested too deeply"
    except (yaml.YAMLError, ValueError) as error:  # also of dates that Python cannot hold
        why = one_line(getattr(error, "problem", None) or error, 100)
    raise ConfigError(f"{path}: no valid YAML ({why}); correct the file")


def brief(value: Any) -> str:
    """What a file holds, for an error: a few letters, however large it is."""
    return SHORT.repr(value)[:100]


def download(url: str, part: Path, name: str, remedy: str, resume: bool = True) -> None:
    """Have what is at a URL in the file `part`. Raises UnavailableError, which ends with `remedy`.

    resume : go on after the bytes that `part` holds, for those who check the hash afterwards.
    """
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    from tqdm import tqdm

    try:
        have = part.stat().st_size if resume and part.is_file() else 0
        asked = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        with urlopen(asked, timeout=WAIT) as answer:
            goes_on = answer.status == 206
            length = int(answer.headers["Content-Length"] or 0)
            part.parent.mkdir(parents=True, exist_ok=True)
            with (
                open(part, "ab" if goes_on else "wb") as saved,
                tqdm.wrapattr(answer, "read", length, desc=name, disable=None) as counted,
            ):
                shutil.copyfileobj(counted, saved, 1 << 20)
        missing = length + have * goes_on - part.stat().st_size if length else 0
        if missing:
            raise ConnectionError(f"it ended {missing} bytes too early; run this again")
    except (OSError, ValueError, HTTPException) as error:
        if getattr(error, "code", None) == 416:  # there is no more than what is here
            return
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnavailableError(
            f"{name}: cannot be fetched from {url} ({reason}); check the network and the proxy "
            f"variables, {remedy}"
        ) from None
