"""A run's folder: everything in it is written whole or not at all."""

import filecmp
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spf.errors import ConfigError, SpfError
from spf.files import moved_into_place, sweep, write_atomic
from spf.identity import digest

FRESH = "fresh.txt"
"""The name that a run was last started over with."""


class RunFolder:
    """results/runs/NAME. Paths are relative to it, with forward slashes."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def prepare(self) -> None:
        """Make the folder and prove that it can be written; ConfigError where it cannot."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
            sweep(self.root.rglob(".spf-*"))
        except OSError as error:
            raise ConfigError(
                f"{self.root}: the output folder cannot be written ({error.strerror}); choose "
                "another with output=FOLDER"
            ) from None

    def start_over(self, fresh: str | None) -> None:
        """Remove what the run wrote before it was started under this name; None removes nothing.
        SpfError where the disk refuses."""
        if fresh is None:
            return
        with disk_errors(self.root):
            if (self.root / FRESH).is_file() and self.read(FRESH) == fresh.encode():
                return
            if (self.root / "config.yaml").is_file():  # else it is no run's
                for path in self.root.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self.write(FRESH, fresh)

    def path(self, relative: str) -> Path:
        """Absolute path of a file of the run; ValueError where it would lie outside the folder."""
        path = self.root / relative
        if not os.path.abspath(path).startswith(os.path.abspath(self.root) + os.sep):
            raise ValueError(f"{relative!r} lies outside the run's folder")
        return path

    def write(self, relative: str, data: bytes | str) -> None:
        """Write a file atomically. SpfError where the disk refuses."""
        path = self.path(relative)
        with disk_errors(path):
            write_atomic(path, data)

    def place(self, source: Path, relative: str) -> None:
        """Give a file of elsewhere a name in the run, unless it is there: a hard link, or a copy
        where disks have none. SpfError where the disk refuses."""
        target = self.path(relative)
        with disk_errors(target):
            if target.exists() and (
                os.path.samefile(source, target) or filecmp.cmp(source, target, shallow=False)
            ):
                return
            with moved_into_place(target, durable=False) as temporary:  # a run places hundreds
                try:
                    os.link(source, temporary)
                except OSError:
                    shutil.copyfile(source, temporary)

    def read(self, relative: str) -> bytes:
        """Bytes of a file of the run."""
        return self.path(relative).read_bytes()


class DiskError(SpfError):
    """The disk refuses; no cell can be recorded any more, so the run ends."""


@contextmanager
def disk_errors(path: Path, what: str = "written") -> Iterator[None]:
    """Raise DiskError where a file cannot be written (or `what` else)."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{path}: cannot be {what} ({error.strerror}); make room or fix its permissions and "
            "start again: finished cells are stored"
        ) from None


def slug(name: str) -> str:
    """A name as one part of a path: letters, digits, dots, hyphens and underscores alone, and a
    short hash where it loses something, so that different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80]
    return plain if plain == name else f"{plain or 'clip'}-{digest(name)[:6]}"
