"""Nuisance motion: what changes the picture without changing what it means.

A motion has kinds, a strength and a schedule; it never touches the content's parameter p. All that
is random is drawn from the clip's seed. A strength s is a share of the frame's shorter side:

| kind | what s is |
|---|---|
| translation | length of the camera's straight path |
| rotation, zoom | how far a corner of the frame moves over the picture |
| shake | largest distance between two places of the camera |
| parallax | length of the foreground's path; the background moves 0.4 times as far |
| background | 2 s of the background becomes another photograph |
| distractor | diameter of a ball that crosses the frame; it is in full view all the time |
| lighting | exposure goes between 1 and 1 - 2 s, red and blue by s / 4 more and less than green |
| hue, exposure, white_balance | the amount (`colours.drifted`) goes from -s to s, or back |
| noise | 51 s is the standard deviation of white Gaussian noise, in 8-bit levels |
| compression | H.264 at the constant rate factor 23 + 60 s |

The schedule says when it moves. `own`: a speed that swells and ebbs, whatever the law does.
`adversarial`: only where the meaning is slower than its mean, the more so the slower it is: a
speed of max(0, 1 - g'(u)), scaled; a law that never slows down gets a constant speed.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from spf.errors import ConfigError
from spf.names import choose
from synthetic.colours import DRIFTS, drifted
from synthetic.drawing import (
    Canvas,
    Content,
    Float32,
    Image8,
    LayerPainter,
    cover,
    flattened,
    oklch,
    over,
    quantised,
    solids,
)
from synthetic.photographs import HELD_OUT, PHOTOGRAPHS, photograph
from synthetic.seeds import generator_for
from synthetic.shapes import contour

if TYPE_CHECKING:
    from synthetic.clips import SyntheticClip

FloatArray = NDArray[np.float64]

_CODEC: tuple[int, ...] = av.library_versions["libavcodec"]

CAMERA = ("translation", "rotation", "zoom", "shake", "parallax")
SCHEDULED = ("background", *CAMERA, "distractor", "lighting", *DRIFTS)
KINDS = (*SCHEDULED, "noise", "compression")
"""In the order in which they act."""

STRENGTHS = {"moderate": 0.1, "strong": 0.3}
SCHEDULES = ("own", "adversarial")
BACKGROUND_SHARE = 0.4
"""How far the background moves under parallax where the foreground moves by 1."""


RADIUS, EDGE = 0.36, 0.08
"""Of the disc, and of its soft edge, in frame's shorter sides."""

Replaced = Callable[[float, float], tuple[Float32, Float32]]
"""p and the share of the other background, both in 0..1 -> background and foreground layer."""


@dataclass(frozen=True)
class Motion:
    """Kinds of motion that act together, each at the full strength; make one with `motion`."""

    kinds: tuple[str, ...]
    strength: float
    schedule: str = "own"

    @property
    def name(self) -> str:
        """Readable: translation+noise-strong-adversarial."""
        names = {value: name for name, value in STRENGTHS.items()}
        parts = ["+".join(self.kinds), names.get(self.strength, f"{self.strength:g}")]
        return "-".join(parts if self.schedule == "own" else [*parts, self.schedule])

    def identity(self) -> dict[str, Any]:
        """Everything but the clip's own fields that determines the pixels."""
        return {
            "kinds": list(self.kinds),
            "strength": self.strength,
            "schedule": self.schedule,
            "codec": list(_CODEC) if "compression" in self.kinds else None,
        }

    def apply(self, clip: "SyntheticClip") -> Iterator[Image8]:
        """The clip's frames (H, W, 3) uint8, RGB, as seen through the motion."""
        frames = _filmed(self, clip)
        for kinds, seen_through in (
            ({"distractor"}, _with_distractor),
            ({"lighting"}, _relit),
            (set(DRIFTS), _drifting),
            ({"noise"}, _noisy),
        ):
            if kinds & set(self.kinds):
                frames = seen_through(frames, self, clip)
        if "compression" in self.kinds:
            frames = compressed(frames, 23 + 60 * self.strength, clip.fps)
        return frames


def motion(kinds: str, strength: str | float = "moderate", schedule: str = "own") -> Motion | None:
    """The motion of kinds joined by "+" (translation+noise); None for "none"."""
    if kinds == "none":
        return None
    names = [choose(name, ("none", *KINDS), "kind of motion") for name in kinds.split("+")]
    if "none" in names:
        raise ConfigError(f"motion {kinds}: none goes with no other kind; leave it out")
    if isinstance(strength, str):
        strength = STRENGTHS[choose(strength, STRENGTHS, "strength of motion")]
    if not 0 < strength <= 0.4:
        raise ConfigError(f"motion strength={strength} is impossible; it must be in (0, 0.4]")
    schedule = choose(schedule, SCHEDULES, "schedule of motion")
    if schedule == "adversarial" and not set(names) <= set(SCHEDULED):
        steady = " and ".join(name for name in names if name not in SCHEDULED)
        raise ConfigError(f"{steady} never stops, so that it has no adversarial schedule; use own")
    return Motion(tuple(kind for kind in KINDS if kind in names), float(strength), schedule)


def phase(motion: Motion, clip: "SyntheticClip") -> FloatArray:
    """How much of its path (T,) float64 the motion has gone at each frame: from 0 to 1."""
    u = clip.shares
    if motion.schedule == "own":
        generator = generator_for("motion schedule", clip.seed)
        waves, start = generator.uniform(1.0, 3.0), generator.uniform(0, 2 * np.pi)

        def gone(u: FloatArray) -> FloatArray:
            # The integral of the speed 1 + 0.9 sin(2 pi waves u + start).
            return u - 0.9 * np.cos(2 * np.pi * waves * u + start) / (2 * np.pi * waves)

        first, last = gone(np.array([0.0, 1.0]))
        return (gone(u) - first) / (last - first)
    # Steps centred between fine grid points see every piece of a piecewise linear law.
    grid = np.linspace(0.0, 1.0, 2**14 + 1)
    middle = 0.5 * (grid[1:] + grid[:-1])
    speed = np.maximum(0.0, 1.0 - clip.speed(middle))
    if speed.mean() < 1e-6:
        speed = np.ones_like(speed)
    path = np.concatenate([[0.0], np.cumsum(speed)])
    return np.interp(u, grid, path / path[-1])


def cameras(motion: Motion, clip: "SyntheticClip", layer: str = "front") -> FloatArray:
    """Matrices (T, 2, 3) from a pixel (x, y, 1) of the frame to the picture's pixel (x, y).

    The picture's pixels count from the still frame's corner. Under parallax, `layer` is "front",
    "back", or "ground" for a picture without layers: its lower edge moves like the front, its
    upper edge like the back.
    """
    height, width = clip.size
    unit, corner = min(height, width), 0.5 * float(np.hypot(height, width))
    way = motion.strength * unit
    middle = 0.5 * np.array([width - 1, height - 1])
    part = phase(motion, clip) - 0.5
    generator = generator_for("camera", clip.seed)
    angle, turning, zooming, rolling = generator.uniform(0, 2 * np.pi, 4)
    offset = np.zeros((clip.num_frames, 2))
    linear = np.broadcast_to(np.eye(2), (clip.num_frames, 2, 2))
    if "translation" in motion.kinds:
        offset = offset + way * part[:, None] * np.array([np.cos(angle), np.sin(angle)])
    if "rotation" in motion.kinds:
        # A chord of length `way` over the circle on which the corners move.
        turn = 2 * np.arcsin(0.5 * way / corner) * part * np.sign(np.cos(turning))
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = turned.transpose(2, 0, 1) @ linear
    if "zoom" in motion.kinds:
        field_of_view = 1.0 + way / corner * part * np.sign(np.cos(zooming))
        linear = linear * field_of_view[:, None, None]
    if "shake" in motion.kinds:
        offset = offset + way * _shake(part + 0.5, generator_for("shake", clip.seed))
    if "parallax" in motion.kinds:
        across = way * part * np.sign(np.cos(rolling))
        share = {"front": 1.0, "back": BACKGROUND_SHARE, "ground": 0.5 * (1 + BACKGROUND_SHARE)}
        offset = offset + np.stack([share[layer] * across, np.zeros_like(across)], axis=1)
        if layer == "ground":
            shear = np.zeros((clip.num_frames, 2, 2))
            shear[:, 0, 1] = (1 - BACKGROUND_SHARE) * across / (height - 1)
            linear = linear + shear
    move = middle + offset - np.einsum("tij,j->ti", linear, middle)
    return np.concatenate([linear, move[..., None]], axis=2)


def _shake(phases: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Places (T, 2) on a smooth random path whose farthest points are 1 apart."""
    waves = generator.uniform(3.0, 9.0, (2, 4))
    starts = generator.uniform(0, 2 * np.pi, (2, 4))

    def path(phases: FloatArray) -> FloatArray:
        return np.sin(2 * np.pi * waves * phases[:, None, None] + starts).sum(axis=2)

    fine = path(np.linspace(0.0, 1.0, 600))
    farthest = np.hypot(*(fine[:, None] - fine[None]).transpose(2, 0, 1)).max()
    return (path(phases) - fine.mean(axis=0)) / farthest


def _filmed(motion: Motion, clip: "SyntheticClip") -> Iterator[Image8]:
    """The content through the camera: drawn on a canvas that holds all that the camera sees."""
    moments = list(zip(clip.truth().tolist(), phase(motion, clip).tolist(), strict=True))
    if not set(motion.kinds) & set(CAMERA):
        paint = _whole(motion, clip, 0)
        for moment in moments:
            yield paint(*moment)
        return
    if "parallax" in motion.kinds:
        both = [cameras(motion, clip, layer) for layer in ("back", "front")]
        margin = max(_margin(views, clip) for views in both)
        if layers := _layers(motion, clip, margin):
            for moment, *views in zip(moments, *both, strict=True):
                back, front = (
                    _seen(layer, view, clip, margin)
                    for layer, view in zip(layers(*moment), views, strict=True)
                )
                front[..., 3] = np.clip(front[..., 3], 0.0, 1.0)
                yield flattened(back, front)
            return
    ground = cameras(motion, clip, "ground")
    margin = _margin(ground, clip)
    paint = _whole(motion, clip, margin)
    for moment, view in zip(moments, ground, strict=True):
        yield _seen(paint(*moment), view, clip, margin)


def _layers(motion: Motion, clip: "SyntheticClip", margin: int) -> Replaced | None:
    """p and the phase of the motion -> background and foreground."""
    if "background" not in motion.kinds:
        layers = clip.content.layers(clip.size, margin, clip.seed)
        return None if layers is None else lambda p, part: layers(p)
    replaced = another_background(clip.content, clip.size, margin, clip.seed, clip.held_out)
    return lambda p, part: replaced(p, 2 * motion.strength * part)


def _whole(motion: Motion, clip: "SyntheticClip", margin: int) -> Callable[[float, float], Image8]:
    """p and the phase of the motion -> the whole picture."""
    layers = _layers(motion, clip, margin) if "background" in motion.kinds else None
    if layers is not None:
        return lambda p, part: flattened(*layers(p, part))
    paint = clip.content.painter(clip.size, margin, clip.seed)
    return lambda p, part: paint(p)


def another_background(
    content: Content, size: tuple[int, int], margin: int, seed: int, held_out: bool
) -> Replaced:
    """The content's layers with a photograph mixed into the background: (1 - share) own + share
    other, so that p stays what the thing in front shows.

    The photograph is drawn from the seed, among those that the content does not show, held out or
    not. The thing of a content without layers is what a soft disc about its middle shows.
    """
    names = [
        name
        for name in PHOTOGRAPHS
        if (name in HELD_OUT) == held_out and name not in content.name.split("-")
    ]
    chosen = str(generator_for("background", seed).choice(names))
    other = photograph(chosen, size, margin).astype(np.float32)
    layers = content.layers(size, margin, seed) or _in_disc(content, size, margin, seed)

    def paint(p: float, share: float) -> tuple[Float32, Float32]:
        back, front = layers(p)
        return np.float32(1.0 - share) * back + np.float32(share) * other, front

    return paint


def _in_disc(content: Content, size: tuple[int, int], margin: int, seed: int) -> LayerPainter:
    picture = content.painter(size, margin, seed)
    away = np.hypot(*Canvas(*size, margin).grid)
    alpha = np.clip((RADIUS - away) / EDGE + 0.5, 0.0, 1.0).astype(np.float32)

    def paint(p: float) -> tuple[Float32, Float32]:
        seen = picture(p).astype(np.float32)
        return seen, cover(seen, alpha)

    return paint


def _seen(canvas: NDArray, view: FloatArray, clip: "SyntheticClip", margin: int) -> NDArray:
    matrix = view + np.array([[0.0, 0.0, margin], [0.0, 0.0, margin]])
    flags, mode = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(canvas, matrix, clip.size[::-1], flags=flags, borderMode=mode))


def _margin(views: FloatArray, clip: "SyntheticClip") -> int:
    """How many pixels beyond the frame the camera sees, and what cubic interpolation needs."""
    height, width = clip.size
    corners = np.array([[x, y, 1] for y in (0, height - 1) for x in (0, width - 1)])
    places = np.einsum("tij,kj->tki", views, corners)
    beyond = max(-places.min(), (places - [width - 1, height - 1]).max(), 0.0)
    return int(np.ceil(beyond)) + 3


def _with_distractor(
    frames: Iterable[Image8], motion: Motion, clip: "SyntheticClip"
) -> Iterator[Image8]:
    canvas = Canvas(*clip.size)
    radius = 0.5 * motion.strength
    generator = generator_for("distractor", clip.seed)
    room = 0.5 * np.array([canvas.width, canvas.height]) / canvas.unit - radius
    start = np.array([-room[0], generator.uniform(-room[1], room[1])])
    end = np.array([room[0], generator.uniform(-room[1], room[1])])
    if generator.uniform() < 0.5:
        start, end = end, start
    colour = oklch(0.62, 0.17, generator.uniform(0, 360))
    for frame, part in zip(frames, phase(motion, clip), strict=True):
        outline = start + part * (end - start) + radius * contour("circle")
        ball = solids(canvas, [(outline, colour)], 0.6 * radius)
        yield quantised(over(ball, frame.astype(np.float32)))


def _relit(frames: Iterable[Image8], motion: Motion, clip: "SyntheticClip") -> Iterator[Image8]:
    generator = generator_for("lighting", clip.seed)
    backward, warming = generator.uniform(size=2) < 0.5
    for frame, part in zip(frames, phase(motion, clip), strict=True):
        dimming = 2 * motion.strength * (1 - part if backward else part)
        tint = 0.25 * motion.strength * (part - 0.5) * (1 if warming else -1)
        gain = (1.0 - dimming) * np.array([1 + tint, 1.0, 1 - tint])
        yield quantised(frame * gain.astype(np.float32))


def _drifting(frames: Iterable[Image8], motion: Motion, clip: "SyntheticClip") -> Iterator[Image8]:
    backward = generator_for("drift", clip.seed).uniform(size=len(DRIFTS)) < 0.5
    ways = dict(zip(DRIFTS, np.where(backward, -1.0, 1.0), strict=True))
    kinds = [kind for kind in DRIFTS if kind in motion.kinds]
    for frame, part in zip(frames, phase(motion, clip), strict=True):
        drifting = frame.astype(np.float32)
        for kind in kinds:
            drifting = drifted(drifting, kind, ways[kind] * motion.strength * (2 * part - 1))
        yield quantised(drifting)


def _noisy(frames: Iterable[Image8], motion: Motion, clip: "SyntheticClip") -> Iterator[Image8]:
    generator = generator_for("noise", clip.seed)
    deviation = np.float32(51 * motion.strength)
    for frame in frames:
        yield quantised(frame + deviation * generator.standard_normal(frame.shape, np.float32))


def compressed(frames: Iterable[Image8], rate_factor: float, fps: float) -> Iterator[Image8]:
    """Frames (H, W, 3) uint8 through H.264 (libx264, 4:2:0) and back, in memory.

    One thread, as the encoder's result depends on their number.
    """
    buffer = io.BytesIO()
    frames = iter(frames)
    first = next(frames)
    height, width = first.shape[:2]
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", Fraction(fps).limit_denominator(10_000))
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        # With its macroblock tree, libx264 gives other bytes from run to run.
        stream.options = {"crf": f"{rate_factor:g}", "x264-params": "mbtree=0"}
        for frame in chain([first], frames):
            # 4:2:0 needs even sides.
            even = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
            picture = av.VideoFrame.from_ndarray(np.asarray(even, np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as source:
        for decoded in source.decode(video=0):
            yield np.asarray(decoded.to_ndarray(format="rgb24")[:height, :width], np.uint8)
