"""Public comparisons: what a collection's file says, and its clips, built and checked.

They are built beside their folder, and renamed when all are there.
"""

import fcntl
import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from spf.errors import ClipError, ConfigError, UnavailableError, one_line
from spf.files import (
    LARGEST_YAML,
    brief,
    download,
    moved_into_place,
    read_bounded,
    read_yaml,
    synchronise,
    write_atomic,
)
from spf.names import choose, printable
from spf.video import Tile, content_hash, cut_tile, frames_sha256

DESCRIPTION = "collection.yaml"
"""The collection's own file, beside its clips: it names their source and licence."""
DOWNLOADS = ".source"
FOLDER = Path(__file__).parent
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
SHA256 = r"[0-9a-f]{64}"
TEXT = r"[^\x00-\x1f]{1,500}"
FIELDS = {
    "title": TEXT,
    "repository": r"https://[\w./~-]+",
    "commit": r"[0-9a-f]{40}",
    "download": r"https?://[\w.:/~-]+\{file\}",
    "licence": TEXT,
    "attribution": TEXT,
}


@dataclass(frozen=True)
class CollectedClip:
    """One clip: its path (GENERATOR/PAIR.mp4), the file of the repository and the tile that it is
    cut from, and the SHA-256 of its frames (`frames_sha256`)."""

    path: str
    source: str
    tile: Tile
    sha256: str


@dataclass(frozen=True)
class Collection:
    """What a collection's file says, checked. sources : SHA-256 by file of the repository."""

    name: str
    content: bytes
    fields: dict[str, str]
    sources: dict[str, str]
    clips: list[CollectedClip]

    def url(self, source: str) -> str:
        """Where one of its files is downloaded from."""
        return self.fields["download"].replace("{file}", quote(source))

    def git_command(self) -> str:
        """The shell command that gets its source into a new folder."""
        address = self.fields["repository"]
        folder = shlex.quote(address.rstrip("/").rpartition("/")[2].removesuffix(".git"))
        common = os.path.commonpath([os.path.dirname(source) for source in self.sources])
        return (
            f"git clone --filter=blob:none --no-checkout {shlex.quote(address)} {folder} && git -C "
            f"{folder} checkout {self.fields['commit']} -- {shlex.quote(common or '.')}"
        )


def read_collection(name: str) -> Collection:
    """A collection by its name, or by the path of its file (.yaml).

    Raises ConfigError, in one line, for an unknown name and for anything wrong in the file.
    """
    if not name.endswith(".yaml"):
        known = [path.stem for path in FOLDER.glob("*.yaml")]
        name = str(FOLDER / f"{choose(name, known, 'collection')}.yaml")
    path = Path(name).expanduser()
    try:
        return _checked(path.stem, read_bounded(path, LARGEST_YAML), read_yaml(path))
    except (OSError, ValueError) as error:
        why = one_line(error, 300)
        raise ConfigError(printable(f"{path}: {why}; correct the file")) from None


def _checked(name: str, text: bytes, content: Any) -> Collection:
    """The collection that a file describes. Raises ValueError."""
    fields = {key: _text(content, key, pattern) for key, pattern in FIELDS.items()}
    tiles = {generator: _tile(generator, x) for generator, x in _filled(content, "tiles").items()}
    sources: dict[str, str] = {}
    clips: dict[str, CollectedClip] = {}
    for source in _filled(content, "sources", list):
        file, pair = _text(source, "file", TEXT), _text(source, "pair", NAME)
        if os.path.isabs(file) or ".." in PurePosixPath(file).parts:
            raise ValueError(f"file {brief(file)} leads out of the source's folder")
        sources[file] = _text(source, "sha256", SHA256)
        for generator in (frames := _filled(source, "frames")):
            path = f"{generator}/{pair}.mp4"
            if generator not in tiles or path in clips:
                raise ValueError(f"{brief(path)} is there twice, or of none of the tiles")
            sha256 = _text(frames, generator, SHA256)
            clips[path] = CollectedClip(path, file, tiles[generator], sha256)
    return Collection(_text({"name": name}, "name", NAME), text, fields, sources, [*clips.values()])


def _text(content: Any, key: str, pattern: str) -> str:
    value = content.get(key) if isinstance(content, dict) else None
    if isinstance(value, str) and re.fullmatch(pattern, value):
        return value
    raise ValueError(f"{key} is {brief(value)}, which is not of the form {pattern}")


def _filled(content: Any, key: str, kind: type = dict) -> Any:
    value = content.get(key) if isinstance(content, dict) else None
    if isinstance(value, kind) and value:
        return value
    raise ValueError(f"{key} is {brief(value)}, not a filled {kind.__name__}")


def _tile(generator: Any, tile: Any) -> Tile:
    _text({"name of a tile": generator}, "name of a tile", NAME)
    whole = isinstance(tile, list) and len(tile) == 4 and all(type(x) is int for x in tile)
    if not whole or min(tile) < 0 or min(tile[2:]) < 1:
        raise ValueError(f"tile {generator} is {brief(tile)}, not [x, y, width, height] in pixels")
    return Tile(*tile)


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
        where, description = printable(str(out)), out / DESCRIPTION
        if not description.is_file() or description.read_bytes() != collection.content:
            why = f"it exists and is not this version of {collection.name}"
            raise ConfigError(f"{where}: {why}; choose another folder by --out")
        for clip in _missing(collection, out, on_clip):
            why = f"{clip.path} is missing or was changed"
            raise ConfigError(f"{where}: {why}; remove the folder and start again")
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
            with moved_into_place(part / clip.path) as temporary:
                cut_tile(files[clip.source], clip.tile, temporary)
                if (found := frames_sha256(temporary)) != clip.sha256:
                    why = f"the SHA-256 of its frames is {found}, not {clip.sha256}"
                    raise UnavailableError(f"{clip.path}: {why}; correct the collection's file")
            on_clip()
        shutil.rmtree(part / DOWNLOADS, ignore_errors=True)
        for leftover in part.rglob(".spf-*"):  # of commands that were killed
            leftover.unlink()
        write_atomic(part / DESCRIPTION, collection.content)
        part.rename(out)  # over an empty folder too
    synchronise(out.parent)
    return True


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
