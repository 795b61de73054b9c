"""Clips that are already there: CLIPS/GENERATOR/PAIR.mp4."""

import os
from dataclasses import dataclass
from pathlib import Path

from spf.errors import ClipError, ConfigError
from spf.names import normalized_name, printable
from spf.video import SUFFIXES, content_hash, list_frames

LAYOUT = "expected CLIPS/GENERATOR/PAIR.mp4, one folder for each generator"


@dataclass(frozen=True)
class FolderClip:
    """A clip of a folder; where there is none to read, `problem` is the error with the reason."""

    generator: str
    pair: str
    path: Path
    problem: ClipError | None = None


class Folder:
    """Generators as folders: each holds a clip for each pair, named after the pair.

    A clip is a video, an animated image, or a folder of images. Other files and names that start
    with a dot are passed over. Names are normalised (`normalized_name`); paths stay what they are.

    images : a folder of the frames that they were generated from, PAIR.png and PAIR.last.png.
    """

    name = "folder"

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        images: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.images = None if images is None else Path(images)

    def clips(self) -> list[FolderClip]:
        """All clips, sorted by generator and pair, whatever the file system's order.

        A generator's folder that cannot be listed or holds no clip gives one entry with a problem.
        Raises ConfigError where there is no such folder or no clip in it, and where two folders
        have the same name but for its spelling in Unicode.
        """
        if self.path is None:
            raise ConfigError(f"model=folder needs model.path=CLIPS; {LAYOUT}")
        named: dict[str, Path] = {}
        for folder in (entry for entry in _listed(self.path, LAYOUT) if entry.is_dir()):
            first = named.setdefault(normalized_name(folder.name), folder)
            if first != folder:
                raise ConfigError(
                    f"{self.path}: two folders have the same name but for its spelling in Unicode, "
                    f"{first.name!a} and {folder.name!a}; rename or merge them"
                )
        found = [clip for _, folder in sorted(named.items()) for clip in _clips_of(folder)]
        if not any(clip.pair for clip in found):
            raise ConfigError(f"{self.path}: no clips found; {LAYOUT}")
        return found


def clips_of(path: str | os.PathLike[str]) -> list[FolderClip]:
    """The clips of a folder and of the folders in it, sorted; `generator` is the category, "" for
    the former. Problems and errors as in `Folder`."""
    root = Path(path)
    layout = "expected CLIPS/CLIP.mp4 or CLIPS/CATEGORY/CLIP.mp4"
    entries = _listed(root, layout)
    here = [entry for entry in entries if _is_clip(entry)]
    inside = [entry for entry in entries if entry.is_dir() and entry not in here]
    found = [*_named("", here), *(clip for folder in inside for clip in _clips_of(folder))]
    if not any(clip.pair for clip in found):
        raise ConfigError(f"{root}: no clips found; {layout}")
    return found


def _listed(folder: Path, layout: str) -> list[Path]:
    """What a folder holds. Raises ConfigError where it cannot be listed."""
    try:
        return _entries(folder)
    except FileNotFoundError:
        raise ConfigError(f"{folder}: there is no such folder; check the path") from None
    except NotADirectoryError:
        raise ConfigError(f"{folder}: this is a file, not a folder; {layout}") from None
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be read ({error.strerror}); change its permissions"
        ) from None


def _entries(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return [entry for entry in entries if not entry.name.startswith(".")]


def _clips_of(folder: Path) -> list[FolderClip]:
    generator = normalized_name(folder.name)
    reason, remedy = "the folder holds no clips", "add some or remove it"
    try:
        if entries := [entry for entry in _entries(folder) if _is_clip(entry)]:
            return _named(generator, entries)
    except OSError as error:
        reason, remedy = f"the folder cannot be read ({error.strerror})", "change its permissions"
    return [FolderClip(generator, "", folder, ClipError(generator, reason, remedy))]


def _named(generator: str, entries: list[Path]) -> list[FolderClip]:
    """The clips of a folder by their names; several files of one name are a problem."""
    pairs: dict[str, list[Path]] = {}
    for entry in entries:
        name = entry.stem if entry.suffix.lower() in SUFFIXES else entry.name
        pairs.setdefault(normalized_name(name), []).append(entry)
    return [
        FolderClip(generator, pair, paths[0], _rivals(f"{generator}/{pair}".strip("/"), paths))
        for pair, paths in sorted(pairs.items())
    ]


def _rivals(name: str, paths: list[Path]) -> ClipError | None:
    if len(paths) == 1:
        return None
    names = ", ".join(printable(path.name) for path in paths)
    if len({normalized_name(path.name) for path in paths}) < len(paths):
        names = ", ".join(ascii(path.name) for path in paths)  # they look alike
    return ClipError(name, f"{len(paths)} files for one pair ({names})", "leave one")


def _is_clip(entry: Path) -> bool:
    """Whether an entry is taken for a clip; reading it shows whether it is one."""
    if entry.suffix.lower() in SUFFIXES:
        return True
    try:
        return entry.is_dir() and bool(list_frames(entry)[0])
    except OSError:
        return True  # an unreadable folder: its row has the reason


def clip_digest(clip: FolderClip) -> str | None:
    """Hash of the bytes that a clip is read from; None where they cannot be read."""
    return None if clip.problem is not None else content_hash(clip.path)
