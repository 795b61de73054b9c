"""Where the images come from that a pair describes in words: a text-to-image model, or a folder.

A still that is made is stored once, as a PNG in OUTPUT/stills, and shared by every generator,
embedder and run of that output folder.
"""

import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from spf.errors import ConfigError, SpfError
from spf.files import write_atomic
from spf.generators.base import Image
from spf.identity import digest
from spf.store import Store
from spf.video import read_image

if TYPE_CHECKING:
    from spf.generators.text_to_image import TextToImage

ABOUT = "spf"
"""Keyword of the text in a PNG that names what it was made of."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
CHOICES = (
    "stills=sdxl or stills=flux (a text-to-image model makes them), "
    "or stills=folder stills.path=FOLDER (your images)"
)


class Described(NamedTuple):
    """A pair in words; `last` is None where the model is free to end."""

    name: str
    first: str
    last: str | None


@dataclass(frozen=True, eq=False)
class StillImage:
    """An image that `maker` makes of a description, known before it is there.

    size : (height, width). made_by : the maker's identity, taken once, as it hashes weights.
    start : the still from which this one is made by image-to-image.
    """

    maker: "TextToImage"
    description: str
    size: tuple[int, int]
    made_by: dict[str, Any]
    start: "StillImage | None" = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its pixels."""
        return *self.size, 3

    def identity(self) -> dict[str, Any]:
        """Everything that determines its pixels."""
        about = {"description": self.description, "size": self.size, "seed": self.maker.seed}
        if self.start is not None:
            about |= {"start": self.start.description, "strength": self.maker.strength}
        return about | self.made_by

    def path(self, folder: Path) -> Path:
        slug = re.sub(r"[^a-z0-9]+", "-", self.description.lower())[:60].strip("-")
        return folder / f"{slug or 'still'}-{digest(self.identity())}.png"

    def stored(self, folder: Path) -> Image | None:
        """The pixels, if its file is there and as it was written."""
        from PIL import Image as Pillow

        try:
            with Pillow.open(self.path(folder), formats=["PNG"]) as file:
                if (file.height, file.width) != self.size:
                    return None
                image = np.asarray(file.convert("RGB"))
                return image if file.text[ABOUT] == self._text(image) else None  # type: ignore[attr-defined]
        except Exception:  # Pillow raises anything for a damaged file
            return None

    def image(self, folder: Path) -> Image:
        """The pixels, (height, width, 3): stored, or made now and stored.

        Raises SpfError where the disk refuses, and as `TextToImage.still`.
        """
        path = self.path(folder)
        try:
            with Store(folder).lock(path.stem, f"still {path.name}"):
                if (found := self.stored(folder)) is not None:
                    return found
                start = None if self.start is None else self.start.image(folder)
                made = self.maker.still(self.description, self.size, self.maker.seed, start)
                write_atomic(path, self._png(made))
        except OSError as error:
            remedy = "make room or fix its permissions and start again: finished stills stay"
            raise SpfError(f"{path}: cannot be written ({error.strerror}); {remedy}") from None
        return made

    def _text(self, image: Image) -> str:
        pixels = digest([image.shape, image.tobytes().hex()])
        return json.dumps({**self.identity(), "pixels": pixels}, default=str)

    def _png(self, image: Image) -> bytes:
        from PIL import Image as Pillow
        from PIL.PngImagePlugin import PngInfo

        text, buffer = PngInfo(), io.BytesIO()
        text.add_itxt(ABOUT, self._text(image))
        Pillow.fromarray(image).save(buffer, "PNG", pnginfo=text)
        return buffer.getvalue()


Frame = Image | StillImage
Ends = tuple[Frame, Frame | None]
"""First and last frame of a pair."""


class Stills(Protocol):
    """What shows the frames of pairs that are described in words."""

    name: ClassVar[str]

    def frames(self, pairs: Sequence[Described], size: tuple[int, int]) -> list[Ends]:
        """First and last frame of each pair, for clips of that (height, width). Nothing is made.

        Raises ConfigError for an image that is missing, UnavailableError for weights that are.
        """


class NoStills:
    """No images of descriptions: pairs bring their own."""

    name: ClassVar[str] = "none"

    def frames(self, pairs: Sequence[Described], size: tuple[int, int]) -> list[Ends]:
        first = f"pair {pairs[0].name!r}" + (f" and {len(pairs) - 1} more" if pairs[1:] else "")
        raise ConfigError(f"{first}: the frames are described in words; choose {CHOICES}")


class FolderOfStills:
    """Your images: FOLDER/NAME_first.png and NAME_last.png of each pair; or .jpg, .jpeg, .webp."""

    name: ClassVar[str] = "folder"

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = path

    def frames(self, pairs: Sequence[Described], size: tuple[int, int]) -> list[Ends]:
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
        firsts = [_path_of(folder, pair.name, "first") for pair in pairs]
        lasts = [
            None if pair.last is None else _path_of(folder, pair.name, "last") for pair in pairs
        ]
        wanted = [*firsts, *(path for path in lasts if path)]
        if missing := [path for path in wanted if not path.is_file()]:
            many = f"{len(missing)} of {len(wanted)} stills are missing"
            raise ConfigError(f"{missing[0]}: not there; {many}: make them, or choose stills=sdxl")
        ends = zip(firsts, lasts, strict=True)
        return [(read_image(first), read_image(last) if last else None) for first, last in ends]


def _path_of(folder: Path, name: str, end: str) -> Path:
    places = [folder / f"{name}_{end}{suffix}" for suffix in IMAGE_SUFFIXES]
    return next((place for place in places if place.is_file()), places[0])
