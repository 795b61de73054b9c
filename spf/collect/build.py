"""Build the clips of a collection: beside their folder, checked, and renamed when all are there."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spf.collect.collection import CollectedClip, Collection
from spf.errors import ClipError, ConfigError, UnavailableError
from spf.files import download, moved_into_place, synchronise, write_atomic
from spf.names import printable
from spf.video import content_hash, cut_tile, frames_sha256

DESCRIPTION = "collection.yaml"
"""The collection's own file, beside its clips: it names their source and licence."""
DOWNLOADS = ".source"


def build_collection(
    collection: Collection,
    out: str | os.PathLike[str],
    source: str | os.PathLike[str] | None = None,
    fetch: bool = False,
    on_clip: Callable[[], object] = lambda: None,
) -> bool:
    """Have the clips of a collection in `out`; whether they had to be built.

    source : folder with the files of the repository at the collection's commit. fetch : download
    them instead. on_clip is called for each clip that is there. What is built lies in a hidden
    folder beside `out` until all of it is there; a build that was interrupted goes on from it.
    Raises ConfigError where `out` holds anything else, and where the source is missing, incomplete
    or another; UnavailableError where it cannot be downloaded, or decodes to other frames.
    """
    out = Path(os.path.realpath(out))
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        _check_complete(collection, out, on_clip)
        return False
    if source is None and not fetch:
        raise ConfigError(
            f"{collection.name}: name the folder of its source by --from FOLDER, or download it by "
            f"--fetch; this gets it: {collection.git_command()}"
        )
    version = hashlib.sha256(collection.content).hexdigest()[:8]
    part = out.with_name(f".{out.name}-{version}.part")
    with _locked(part):
        missing = _missing(collection, part, on_clip)
        wanted = dict.fromkeys(clip.source for clip in missing)
        if source is None:
            files = {file: _downloaded(collection, file, part / DOWNLOADS) for file in wanted}
        else:
            files = _files(collection, Path(source), wanted)
        for clip in missing:
            _make(clip, files[clip.source], part / clip.path)
            on_clip()
        shutil.rmtree(part / DOWNLOADS, ignore_errors=True)
        for leftover in part.rglob(".spf-*"):  # of commands that were killed
            leftover.unlink()
        write_atomic(part / DESCRIPTION, collection.content)
        part.rename(out)  # over an empty folder too
    synchronise(out.parent)
    return True


def _check_complete(collection: Collection, out: Path, on_clip: Callable[[], object]) -> None:
    """Raise ConfigError unless a folder holds this collection's clips."""
    where, description = printable(str(out)), out / DESCRIPTION
    if not description.is_file() or description.read_bytes() != collection.content:
        why = f"it exists and is not this version of {collection.name}"
        raise ConfigError(f"{where}: {why}; choose another folder by --out")
    for clip in _missing(collection, out, on_clip):
        why = f"{clip.path} is missing or was changed"
        raise ConfigError(f"{where}: {why}; remove the folder and start again")


def _missing(
    collection: Collection, folder: Path, on_clip: Callable[[], object]
) -> list[CollectedClip]:
    """The clips that a folder does not hold, or with other frames."""
    missing = []
    for clip in collection.clips:
        path = folder / clip.path
        with suppress(ClipError):
            if path.is_file() and frames_sha256(path) == clip.sha256:
                on_clip()
                continue
        missing.append(clip)
    return missing


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """The folder that a collection is built in, made where missing, for this process alone."""
    part.mkdir(parents=True, exist_ok=True)
    handle = os.open(part, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        where = printable(str(part))
        raise ConfigError(f"{where}: another command builds it; wait for that one") from None
    finally:
        with suppress(OSError):  # it holds finished clips, or was renamed
            part.rmdir()
        os.close(handle)


def _files(collection: Collection, folder: Path, wanted: Iterable[str]) -> dict[str, Path]:
    """The wanted files in a folder that a user named. Raises ConfigError unless all are right."""
    where, root = printable(str(folder)), Path(os.path.realpath(folder))
    if not root.is_dir():
        raise ConfigError(f"{where}: there is no such folder; check the path after --from")
    files = {file: Path(os.path.realpath(root / file)) for file in wanted}
    missing = [file for file, path in files.items() if not path.is_file()]
    outside = [file for file, path in files.items() if not path.is_relative_to(root)]
    for wrong, why in ((missing, "missing"), (outside, "links that lead out of it")):
        if wrong:
            why = f"{len(wrong)} of {len(files)} files are {why}, such as {printable(wrong[0])}"
            raise ConfigError(f"{where}: {why}; this gets them: {collection.git_command()}")
    for file, path in files.items():
        if content_hash(path) != collection.sources[file]:
            why = f"{printable(file)} has another SHA-256 than in {collection.name}"
            raise ConfigError(f"{where}: {why}; this gets it: {collection.git_command()}")
    return files


def _downloaded(collection: Collection, file: str, folder: Path) -> Path:
    """A file of the source, downloaded where it is not here yet. Raises UnavailableError."""
    path, url = folder / collection.sources[file], collection.url(file)
    if not path.is_file():
        part = path.with_suffix(".part")
        remedy = f"or give the source by --from FOLDER: {collection.git_command()}"
        download(url, part, printable(file), remedy)
        if content_hash(part) != path.name:
            part.unlink()
            raise UnavailableError(f"{url}: it has another SHA-256; start again, {remedy}")
        part.rename(path)
    return path


def _make(clip: CollectedClip, source: Path, path: Path) -> None:
    """Write one clip. Raises UnavailableError where its frames are not the expected ones."""
    with moved_into_place(path) as temporary:
        cut_tile(source, clip.tile, temporary)
        found = frames_sha256(temporary)
        if found != clip.sha256:
            why = f"the SHA-256 of its frames is {found}, not {clip.sha256}"
            raise UnavailableError(f"{clip.path}: {why}; correct the collection's file")
