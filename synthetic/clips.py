"""Clips whose pacing is known: content driven by a pacing law, seen through nuisance motion."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from spf.errors import ConfigError
from spf.names import choose
from spf.numbers import number
from synthetic.drawing import Content, Image8, LayerPainter, Painter, check_size, quantised
from synthetic.laws import Law, law
from synthetic.motion import Motion
from synthetic.photographs import PAIRS, RING
from synthetic.scenes import SCENES
from synthetic.seeds import generator_for

VERSION = 1
"""Raised whenever the same identity would give other pixels."""

FIRST_HELD_OUT_SEED = 1000
"""Seeds from here on are held out: nothing that is measured may have been trained on them."""

TIMINGS = ("constant", "variable")

ZOOM = 4
"""Factor of a zoom that is the meaning."""


@dataclass(frozen=True)
class Held(Content):
    """A content at one p."""

    how: ClassVar[str]
    content: Content
    at: float = 0.5

    @property
    def name(self) -> str:
        return f"{self.how}-{self.content.name}-{self.at:g}"

    @property
    def held_out(self) -> bool:  # type: ignore[override]
        return self.content.held_out

    def identity(self) -> dict[str, Any]:
        return {**self.content.identity(), self.how: self.at}


class Still(Held):
    """Content held at one p: nothing changes, whatever the law says."""

    how = "still"

    def painter(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> Painter:
        picture = self.content.painter(size, margin, seed)(self.at)
        return lambda p: picture.copy()

    def layers(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> LayerPainter | None:
        paint = self.content.layers(size, margin, seed)
        return None if paint is None else lambda p: paint(self.at)


class Zoomed(Held):
    """Content held at one p, into whose middle the picture zooms: by a factor of `ZOOM` ** p, so
    that what is seen changes with the camera alone. It is painted `ZOOM` times as large, so that
    all frames are sharp."""

    how = "zoomed"

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "by": ZOOM}

    def painter(self, size: tuple[int, int], margin: int = 0, seed: int = 0) -> Painter:
        large = size[0] * ZOOM, size[1] * ZOOM
        picture = self.content.painter(large, margin * ZOOM, seed)(self.at)
        height, width = picture.shape[:2]
        centre = ((width - 1) / 2, (height - 1) / 2)

        def paint(p: float) -> Image8:
            matrix = cv2.getRotationMatrix2D(centre, 0.0, ZOOM**p)
            seen = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)
            small = (width // ZOOM, height // ZOOM)
            return np.asarray(cv2.resize(seen, small, interpolation=cv2.INTER_AREA), np.uint8)

        return paint


CONTENTS: dict[str, Content] = {
    item.name: item for item in (*SCENES, *PAIRS, *RING["warp"], *RING["matched"])
}
"""All named scenes and pairs of photographs, shown and held out."""

COLOUR_KEEPING = (
    "shape-circle-star", "shape-square-heart", "shape-triangle-flower", "shape-leaf-cross",
    "arrangement-ring-grid", "arrangement-line-spiral", "coins-retina-patches",
    "galaxies-astronaut-patches", "grass-gravel-patches", "retina-camera-patches",
    "shape-drop-gear", "shape-crescent-bolt", "arrangement-scatter-pyramid",
    "cat-motorcycle-patches", "moon-tissue-patches", "brick-cat-patches",
)  # fmt: skip
"""Contents that change what is seen and keep its colours, the last six held out: along p the
Bhattacharyya angle of the colour histograms stays below 0.1 rad; other held-out morphs of colour,
material, landscape or photographs have 0.7 to 1.5. Colours alone say next to nothing of them."""


def content(name: str) -> Content:
    """The scene or pair of photographs of this name."""
    return CONTENTS[choose(name, CONTENTS, "content")]


@dataclass(frozen=True)
class SyntheticClip:
    """A clip whose semantic parameter at time share u is law.g(u), and nothing else's.

    `size` is (height, width). `seed` draws what the content leaves open and the whole of the
    motion; clips that differ only in law or motion show the same content. With
    `timing="variable"` the intervals between frames vary by +-50% about 1 / fps. `exposure` is a
    factor on all pixels of all frames.
    """

    content: Content
    law: Law = field(default_factory=lambda: law("linear"))
    motion: Motion | None = None
    num_frames: int = 81
    size: tuple[int, int] = (128, 128)
    seed: int = 0
    fps: float = 16.0
    timing: str = "constant"
    exposure: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.num_frames, int) or self.num_frames < 2:
            raise ConfigError(f"a clip of {self.num_frames} frames has no pacing; use 2 or more")
        number("fps", self.fps, above=0)
        number("exposure", self.exposure, above=0)
        choose(self.timing, TIMINGS, "timing")
        object.__setattr__(self, "size", check_size(self.size))

    @property
    def name(self) -> str:
        """Readable and short, not unique: content, law, motion and seed."""
        motion = self.motion.name if self.motion is not None else "none"
        return f"{self.content.name}/{self.law}/{motion}/{self.seed}"

    @property
    def held_out(self) -> bool:
        """Whether content or seed is held out."""
        return self.content.held_out or self.seed >= FIRST_HELD_OUT_SEED

    @property
    def times(self) -> NDArray[np.float64]:
        """Time stamps (T,) float64 in seconds, from 0, strictly increasing."""
        steps = np.full(self.num_frames - 1, 1.0 / self.fps)
        if self.timing == "variable":
            generator = generator_for("timing", self.seed, self.num_frames)
            jitter = generator.uniform(0.5, 1.5, steps.size)
            # The clip's length stays what it is at a constant rate.
            steps = jitter * steps.sum() / jitter.sum()
        return np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def shares(self) -> NDArray[np.float64]:
        """The times as shares u (T,) float64 of the clip's length, from exactly 0 to exactly 1."""
        return self.times / self.times[-1]

    def truth(self) -> NDArray[np.float64]:
        """True progress (T,) float64: g at the frames' times; zeros where the content is held."""
        if isinstance(self.content, Still):
            return np.zeros(self.num_frames)
        return self.law.g(self.shares)

    def speed(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """True speed g'(u), zeros where the content is held."""
        return np.zeros_like(u) if isinstance(self.content, Still) else self.law.derivative(u)

    def frames(self) -> Iterator[Image8]:
        """The frames (H, W, 3) uint8, RGB, one after the other."""
        if self.motion is not None:
            frames = self.motion.apply(self)
        else:
            paint = self.content.painter(self.size, seed=self.seed)
            frames = (paint(float(p)) for p in self.truth())
        if self.exposure == 1.0:
            return frames
        return (quantised(frame * np.float32(self.exposure)) for frame in frames)

    def identity(self) -> dict[str, Any]:
        """Everything that determines the pixels and the truth, as plain values for hashing."""
        return {
            "version": VERSION,
            "content": self.content.identity(),
            "law": self.law.identity(),
            "motion": self.motion.identity() if self.motion is not None else None,
            "frames": self.num_frames,
            "size": list(self.size),
            "seed": self.seed,
            "fps": self.fps,
            "timing": self.timing,
            "exposure": self.exposure,
        }
