"""Clips that are already there: CLIPS/GENERATOR/PAIR.mp4."""

import os
from dataclasses import dataclass
from pathlib import Path

from spf.errors import ConfigError
from spf.video import IMAGE_SUFFIXES, SUFFIXES

LAYOUT = "expected CLIPS/GENERATOR/PAIR.mp4, one folder for each generator"


@dataclass(frozen=True)
class FolderClip:
    """A clip of a folder, or why there is none: `path` is then None and `problem` says it."""

    generator: str
    pair: str
    path: Path | None
    problem: str = ""


class Folder:
    """Generators as folders: each holds a clip for each pair, named after the pair.

    A clip is a video, an animated image, or a folder of images. Other files and names that start
    with a dot are passed over.
    """

    name = "folder"

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path).expanduser()

    def clips(self) -> list[FolderClip]:
        """All clips, sorted by generator and pair, whatever the file system's order.

        A generator's folder that cannot be listed or holds no clip gives one entry without a
        path. Raises ConfigError where there is no such folder or no generator in it.
        """
        if self.path is None:
            raise ConfigError(f"model=folder needs model.path=CLIPS; {LAYOUT}")
        generators = [entry for entry in _entries(self.path) if entry.is_dir()]
        found = [clip for folder in generators for clip in _clips_of(folder)]
        if not any(clip.path or clip.problem != NO_CLIPS for clip in found):
            raise ConfigError(f"{self.path}: no clips found; {LAYOUT}")
        return found


NO_CLIPS = "the folder holds no clips; add some or remove it"


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except FileNotFoundError:
        raise ConfigError(f"{folder}: there is no such folder; check the path") from None
    except NotADirectoryError:
        raise ConfigError(f"{folder}: this is a file, not a folder; {LAYOUT}") from None
    except PermissionError:
        raise ConfigError(f"{folder}: may not be read; change its permissions") from None
    return [entry for entry in entries if not entry.name.startswith(".")]


def _clips_of(folder: Path) -> list[FolderClip]:
    try:
        entries = [entry for entry in _entries(folder) if _is_clip(entry)]
    except (ConfigError, PermissionError) as error:
        why = str(error).partition(": ")[2] or "may not be read; change its permissions"
        return [FolderClip(folder.name, "", None, f"the folder {why}")]
    if not entries:
        return [FolderClip(folder.name, "", None, NO_CLIPS)]
    pairs: dict[str, list[Path]] = {}
    for entry in entries:
        pairs.setdefault(entry.name if entry.is_dir() else entry.stem, []).append(entry)
    return [
        FolderClip(folder.name, pair, paths[0])
        if len(paths) == 1
        else FolderClip(
            folder.name,
            pair,
            None,
            f"{len(paths)} files for one pair ({', '.join(path.name for path in paths)}); keep one",
        )
        for pair, paths in pairs.items()
    ]


def _is_clip(entry: Path) -> bool:
    if entry.is_dir():
        return any(file.suffix.lower() in IMAGE_SUFFIXES for file in _entries(entry))
    return entry.suffix.lower() in SUFFIXES
