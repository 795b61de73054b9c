"""The clips of a folder, searched to any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from spf.errors import ConfigError
from spf.video.clip import IMAGE_SUFFIXES, SUFFIXES


def clips_in(
    folder: Path, prefix: str = "", above: tuple[tuple[int, int], ...] = ()
) -> Iterator[str]:
    """Paths, from the first folder, of the clips of a folder and the folders in it, each folder
    sorted by name (one is in memory).

    A folder that holds images and no videos is a clip, but for the first one; so is one that cannot
    be looked into, so that reading it says why. A .webp is a clip of its own. Names that start with
    a dot are passed over, links that lead back to a folder above are not followed.
    prefix, above : path of this folder, and (device, inode) of those that it lies in.

    Raises ConfigError where the first folder cannot be listed.
    """
    try:
        state = os.stat(folder)
        here = (state.st_dev, state.st_ino)
        if here in above:
            return
        with os.scandir(folder) as found:
            entries = sorted((e for e in found if e.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        if not above:
            why = f"cannot be read ({error.strerror}); change its permissions"
            raise ConfigError(f"{folder}: {why}") from None
        yield prefix.rstrip("/")
        return
    suffixes = [os.path.splitext(entry.name)[1].lower() for entry in entries]
    if above and SUFFIXES.isdisjoint(suffixes) and not IMAGE_SUFFIXES.isdisjoint(suffixes):
        yield prefix.rstrip("/")
    for entry, suffix in zip(entries, suffixes, strict=True):
        if suffix in SUFFIXES:
            yield prefix + entry.name
        elif _is_folder(entry):
            yield from clips_in(Path(entry.path), f"{prefix}{entry.name}/", (*above, here))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False
