"""Stills that a user made: a folder of images with the names of the pairs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from spf.errors import ConfigError
from spf.generators.stills import Described, Frame
from spf.video import read_image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class FolderOfStills:
    """Your images: FOLDER/NAME_first.png and NAME_last.png of each pair; or .jpg, .jpeg, .webp."""

    name: ClassVar[str] = "folder"

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = path

    def frames(
        self, pairs: Sequence[Described], size: tuple[int, int]
    ) -> list[tuple[Frame, Frame | None]]:
        """The images as they are; see `Stills`."""
        if self.path is None:
            raise ConfigError("stills=folder: name the folder of your images: stills.path=FOLDER")
        folder = Path(self.path)
        for pair in pairs:
            if Path(pair.name).name != pair.name:
                raise ConfigError(
                    f"pair {pair.name!r}: with stills=folder its name is part of a file's name; "
                    "write it without slashes"
                )
        wanted = [_place(folder, pair.name, "first") for pair in pairs]
        wanted += [_place(folder, pair.name, "last") for pair in pairs if pair.last is not None]
        if missing := [path for path in wanted if not path.is_file()]:
            many = f"{len(missing)} of {len(wanted)} stills are missing"
            raise ConfigError(f"{missing[0]}: not there; {many}: make them, or choose stills=sdxl")
        return [
            (
                read_image(_place(folder, pair.name, "first")),
                None if pair.last is None else read_image(_place(folder, pair.name, "last")),
            )
            for pair in pairs
        ]


def _place(folder: Path, name: str, end: str) -> Path:
    places = [folder / f"{name}_{end}{suffix}" for suffix in SUFFIXES]
    return next((place for place in places if place.is_file()), places[0])
