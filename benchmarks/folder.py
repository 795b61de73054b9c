"""A run's folder: everything in it is written whole or not at all."""

import os
import re
import tempfile
from pathlib import Path

from spf.errors import ConfigError, SpfError
from spf.files import write_atomic


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
        except OSError as error:
            raise ConfigError(
                f"{self.root}: the output folder cannot be written ({error.strerror}); choose "
                "another with output=FOLDER"
            ) from None

    def path(self, relative: str) -> Path:
        """Absolute path of a file of the run; ValueError where it would lie outside the folder."""
        path = self.root / relative
        if not os.path.abspath(path).startswith(os.path.abspath(self.root) + os.sep):
            raise ValueError(f"{relative!r} lies outside the run's folder")
        return path

    def write(self, relative: str, data: bytes | str) -> None:
        """Write a file atomically. SpfError where the disk refuses."""
        try:
            write_atomic(self.path(relative), data)
        except OSError as error:
            raise DiskError(
                f"{self.path(relative)}: cannot be written ({error.strerror}); make room or mend "
                "its permissions and start again: finished cells are kept"
            ) from None

    def read(self, relative: str) -> bytes:
        """Bytes of a file of the run."""
        return self.path(relative).read_bytes()


class DiskError(SpfError):
    """The disk refuses; no cell can be recorded any more, so the run ends."""


def slug(name: str) -> str:
    """A name as one part of a path: letters, digits, dots, hyphens and underscores alone.

    Names that lose something get a short hash, so that different names stay different.
    """
    from benchmarks.provenance import digest

    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:80]
    return plain if plain == name else f"{plain or 'clip'}-{digest(name)[:6]}"
