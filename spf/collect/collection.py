"""The description of a collection: its source, its licence, and which tile is which clip."""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from spf.errors import ConfigError, one_line
from spf.files import LARGEST_YAML, brief, read_bounded, read_yaml
from spf.names import choose, printable
from spf.video import Tile

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
