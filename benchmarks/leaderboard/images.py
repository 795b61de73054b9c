"""What the clips of a folder were generated from: IMAGES/PAIR.png and IMAGES/PAIR.last.png."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spf.embedders import Embedder
from spf.errors import ClipError, ConfigError
from spf.generators.folder import FolderClip
from spf.names import normalized_name, printable
from spf.quality import Conditions
from spf.quality.fidelity import ENDS, cropped, end_fidelity
from spf.video import IMAGE_SUFFIXES, GuardedReader, content_hash, read_image

Image = NDArray[np.uint8]

LAYOUT = "expected PAIR.png, and PAIR.last.png where a clip has a last frame"
CUT = 0.02
"""Share of a side from which on cutting an image to the clip's aspect is noted."""


class Images:
    """First and last frames by pair. folder : None where there are none.

    Raises ConfigError for a folder that cannot be listed, holds no image, or two of one name.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._paths: dict[str, Path] = {}
        if folder is None:
            return
        try:
            found = sorted(x for x in folder.iterdir() if x.suffix.lower() in IMAGE_SUFFIXES)
        except OSError as error:
            why = f"cannot be read ({error.strerror}); check the path"
            raise ConfigError(f"model.images={folder}: {why}") from None
        if not found:
            raise ConfigError(f"model.images={folder}: there is no image in it; {LAYOUT}")
        for path in found:
            if other := self._paths.get(name := normalized_name(path.stem)):
                names = f"{printable(other.name)} and {printable(path.name)}"
                raise ConfigError(f"model.images={folder}: {names} have one name; keep one")
            self._paths[name] = path

    def identity(self, pair: str) -> dict[str, Any]:
        """What of it determines a clip's row: nothing where there are no images."""
        if self.folder is None:
            return {}
        paths = [self._path(pair, end) for end in ENDS]
        return {"images": [path and content_hash(path) for path in paths]}

    def compared(
        self, clip: FolderClip, embedder: Embedder
    ) -> tuple[dict[str, float], Conditions, list[str]]:
        """Columns of `FIDELITY`, where there are images; what the clip was generated from; and
        notes: of a first frame that is absent, and of images that are damaged or have another
        aspect.

        VBench names clips by their prompts, and so the prompt is the file's name. The clip is
        decoded once more for its end frames: its embeddings may come from the cache, and of
        sampled ones the last is not the clip's last frame.
        """
        prompt = clip.path.stem
        if self.folder is None:
            why = "no first frames, name their folder: model.images=IMAGES"
            return {}, Conditions(prompt=prompt, absent=why), []
        with GuardedReader(clip.path) as reader:
            first = last = next(reader)[0]
            for image, _ in reader:
                last = image
        height, width, _ = first.shape
        frames: dict[str, Image] = {}
        notes: dict[str, str] = {}
        for end in ENDS:
            if (path := self._path(clip.pair, end)) is None:
                notes |= {end: "model.images has no first frame of it"} if end == "first" else {}
                continue
            try:
                image = read_image(path)
            except ClipError as error:
                notes[end] = f"model.images: {printable(path.name)}: {error.reason}"
                continue
            if abs(image.shape[0] / image.shape[1] * width / height - 1) > CUT:
                notes[end] = f"its {end} frame was cut to the clip's aspect"
            frames[end] = cropped(image, (height, width))
        absent = "" if "first" in frames else notes["first"]
        conditions = Conditions(frames.get("first"), frames.get("last"), prompt, absent)
        return end_fidelity(first, last, conditions, embedder), conditions, list(notes.values())

    def _path(self, pair: str, end: str) -> Path | None:
        return self._paths.get(pair if end == "first" else f"{pair}.last")
