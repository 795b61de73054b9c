"""Figures of clips: one with its curve, curves over one another, films beside each other."""

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from spf.progress import Curve, score, unranked_reason
from spf.progress.metrics import unit_time
from spf.progress.stretches import Stretch
from spf.thumbnails import Thumbnails

if TYPE_CHECKING:
    from spf.measurement import Measurement

Image = NDArray[np.uint8]
Array = NDArray[np.float64]

PALETTE = ["#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f"]
REFERENCE = "#6b7280"
STRAIGHT: dict[str, Any] = {"ls": "--", "color": REFERENCE, "lw": 1.2, "label": "even pacing"}
SHADES = {
    "dead": ("#6b7280", "dead stretch"),
    "jump": ("#dc2626", "jump"),
    "cut": ("#7c3aed", "hard cut"),
}
AXIS = {"s": "time in seconds", "frames": "frame"}
DPI = 110
LEGEND_ROWS = 22

LEFT, WIDTH, RIGHT = 0.62, 8.2, 0.2
"""Inches: the space left of the time axis, its length, the space right of it."""
HEAD, CURVE, FOOT, CAPTION = 0.78, 3.3, 0.52, 0.44
"""Inches: titles and legend, the curve, the axis' labels, the caption over a stretch's frames."""
TILE, MOST_TILES, FEWEST_TILES = 0.82, 14, 3
"""Height of a frame of the strip, inches at most, and how many frames it has."""
MOST_NAMED = 4
"""Stretches whose frames are shown: those with most change, and the longest standstills."""


def plot_measurement(measured: "Measurement", title: str, subtitle: str = "") -> bytes:
    """PNG of one clip: its curve over its segments and the straight reference, a strip of frames
    along the time axis, and the frames at which named stretches begin and end."""
    curve, unit = measured.curve, measured.embeddings.unit
    span = curve.times[-1] - curve.times[0]
    largest = sorted(measured.named_stretches, key=lambda x: -max(x.change, x.seconds / span))
    shown = sorted(largest[:MOST_NAMED], key=lambda part: part.start)
    places, size = _tiles(curve.times, measured.thumbnails)
    room = WIDTH / MOST_NAMED
    height, width = measured.thumbnails.images[0].shape[:2]
    card = min(1.0, (room - 0.14) / 2 * height / width)
    bottom = FOOT + (card + CAPTION) * bool(shown)
    whole = LEFT + WIDTH + RIGHT, bottom + size[1] + CURVE + HEAD
    figure = Figure(figsize=whole, dpi=DPI)

    def axes(x: float, y: float, width: float, height: float, **more: Any) -> Axes:
        place = x / whole[0], y / whole[1], width / whole[0], height / whole[1]
        return figure.add_axes(place, **more)

    upper = axes(LEFT, bottom + size[1], WIDTH, CURVE)
    strip = axes(LEFT, bottom, WIDTH, size[1], sharex=upper)
    _curve(upper, measured)
    _strip(strip, curve.times, measured.thumbnails, places, size[0] / WIDTH)
    strip.set_xlabel(AXIS[unit])
    for number, stretch in enumerate(shown):
        middle = (stretch.start_time + stretch.stop_time) / 2
        across = min(max((middle - curve.times[0]) / span, 0.012), 0.988)
        mark: dict[str, Any] = {"transform": upper.transAxes, "ha": "center", "va": "top"}
        disc = {"boxstyle": "circle,pad=0.18", "fc": SHADES[stretch.kind][0], "ec": "none"}
        mark |= {"color": "white", "weight": "bold", "fontsize": 8, "bbox": disc}
        upper.text(across, 0.985, str(number + 1), **mark)
        frames = axes(LEFT + number * room, 0.12, room - 0.14, card)
        _card(frames, number + 1, stretch, measured.thumbnails, unit)
    for text, most, y, size, colour in (
        (title, 84, 0.1, 12, "#111827"),
        (subtitle, 130, 0.34, 8.5, "#4b5563"),
    ):
        style: dict[str, Any] = {"fontsize": size, "color": colour, "va": "top"}
        place = LEFT / whole[0], 1 - y / whole[1]
        figure.text(*place, _shortened(text, most), parse_math=False, **style)
    handles, names = upper.get_legend_handles_labels()
    corner = (LEFT / whole[0], (whole[1] - HEAD - 0.02) / whole[1])
    figure.legend(
        handles[::-1], names[::-1], loc="lower left", bbox_to_anchor=corner, ncols=len(names),
        fontsize=8, frameon=False, borderpad=0, borderaxespad=0.3, columnspacing=1.4,
    )  # fmt: skip
    return png(figure)


def plot_overlay(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str, subtitle: str = ""
) -> bytes:
    """PNG of several curves, each (u, progress), with the straight reference."""
    columns = -(-len(curves) // LEGEND_ROWS)
    figure = Figure(figsize=(8 + 1.6 * columns, 5), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], **STRAIGHT)
    for number, (name, (u, progress)) in enumerate(curves.items()):
        colour = PALETTE[number % len(PALETTE)]
        style = ["-", "--", ":", "-."][number // len(PALETTE) % 4]
        # Names come from folders: a leading underscore would hide them, a dollar start formulas.
        axes.plot(u, progress, style, color=colour, lw=1.8, label="\u200b" + name)
    _axes(axes)
    axes.set_xlabel("share of the clip's time")
    axes.margins(x=0.01)
    axes.set_title(title, loc="left", fontsize=12, parse_math=False, pad=20 if subtitle else 8)
    if subtitle:
        small: dict[str, Any] = {"transform": axes.transAxes, "fontsize": 8.5, "va": "bottom"}
        axes.text(0, 1.02, subtitle, color="#4b5563", parse_math=False, **small)
    place: dict[str, Any] = {"loc": "outside right center", "ncols": columns}
    legend = figure.legend(fontsize=8, frameon=False, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return png(figure)


def subtitle(curve: Curve, embedder: str) -> str:
    """The line under a plot's title: what measured it and the numbers that say most."""
    change = f"total change {curve.total_change:.3g} rad"
    reason = unranked_reason(curve)
    if reason is not None:
        return f"embedder {embedder} · {reason} ({change}, noise floor {curve.noise_floor:.3g})"
    linearity = f"linearity_mae {score(curve)['linearity_mae']:.4f}"
    return f"embedder {embedder} · {linearity} · {change} · noise share {curve.noise_share:.2f}"


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes that depend on nothing but the figure."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes; a warning for each helps nobody.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _axes(axes: Axes) -> None:
    axes.set_ylabel("semantic progress")
    axes.set_ylim(-0.03, 1.03)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(axes: Axes, measured: "Measurement") -> None:
    """The curve, above its segments, the stretches and the reference."""
    times = measured.curve.times
    labels = {kind: name for kind, (_, name) in SHADES.items()}
    for stretch in measured.named_stretches:
        look: dict[str, Any] = {"color": SHADES[stretch.kind][0], "alpha": 0.18, "lw": 0}
        label = labels.pop(stretch.kind, None)  # once in the legend
        axes.axvspan(stretch.start_time, stretch.stop_time, label=label, **look)
    axes.plot(times[[0, -1]], [0, 1], **STRAIGHT)
    for number, part in enumerate(measured.segments):
        x = times[part.start : part.stop]
        y = part.slope * x + part.intercept
        label = "segments" if number == 0 else None
        axes.plot(x, y, color="#f59e0b", lw=5.5, alpha=0.55, solid_capstyle="butt", label=label)
    axes.plot(times, measured.curve.progress, color=PALETTE[0], lw=1.8, label="progress S")
    if (second := measured.corrected) is not None and second.curve.changes:
        axes.plot(times, second.curve.progress, ":", color=PALETTE[1], label="S corrected")
    _axes(axes)
    axes.set_xlim(times[0], times[-1])
    axes.tick_params(labelbottom=False, length=0)
    axes.yaxis.set_major_locator(MultipleLocator(0.2))


def _tiles(times: Array, thumbnails: Thumbnails) -> tuple[list[tuple[float, int]], Any]:
    """Where the strip's frames stand: (time, frame) of each, and the size (width, height) of all in
    inches. The axis is cut into equal parts; a frame is the nearest to the middle of its part."""
    height, width = thumbnails.images[0].shape[:2]
    count = round(WIDTH / (TILE * width / height))
    count = min(max(count, FEWEST_TILES), MOST_TILES, len(times))
    middles = times[0] + (np.arange(count) + 0.5) / count * (times[-1] - times[0])
    frames = [int(np.abs(times - middle).argmin()) for middle in middles]
    across = min(WIDTH / count - 0.03, TILE * width / height)
    return list(zip(middles.tolist(), frames, strict=True)), (across, across * height / width)


def _strip(axes: Axes, times: Array, thumbnails: Thumbnails, places: Any, share: float) -> None:
    """Frames (time, frame) along the axis, each as wide as that share of it."""
    half = share * (times[-1] - times[0]) / 2
    for middle, frame in places:
        image = thumbnails.nearest(frame)[1]
        axes.imshow(image, extent=(middle - half, middle + half, 0, 1), aspect="auto")
    axes.set_xlim(times[0], times[-1])
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines[["top", "left", "right"]].set_visible(False)


def _card(axes: Axes, number: int, stretch: Stretch, thumbnails: Thumbnails, unit: str) -> None:
    """The frames between which a stretch lies, and what it is."""
    colour, kind = SHADES[stretch.kind]
    images = [thumbnails.nearest(frame)[1] for frame in (stretch.start, stretch.stop)]
    height, width = images[0].shape[:2]
    gap = max(2, width // 24)
    canvas = np.full((height, 2 * width + gap, 3), 255, np.uint8)
    canvas[:, :width], canvas[:, width + gap :] = images
    axes.imshow(canvas, aspect="equal")
    axes.set_anchor("NW")
    axes.set_axis_off()
    ends = (stretch.start_time, stretch.stop_time)
    when = "{:.2f} to {:.2f} s" if unit == "s" else "frames {:.0f} to {:.0f}"
    what = f"change {stretch.change:.2f}, speed {stretch.speed:.2f}"
    text = f"{number}  {kind}, {when.format(*ends)}\n{what}"
    axes.set_title(text, loc="left", fontsize=8, color=colour, linespacing=1.4)


# Films side by side


Panel = tuple[Iterable[Image], Any, str]
"""Frames, their times (T,) in seconds and progress (T,) as a `Curve` has them, and a title."""

SIDE, LARGEST = 256, 640
"""Pixels to which a small clip's longer side is enlarged, by whole factors, and a large one's is
reduced."""
TITLE_HEIGHT, CURVE_HEIGHT, GAP, BORDER = 28, 120, 16, 10
INK, SOFT, BLUE, RED = (31, 41, 55), (107, 114, 128), (37, 99, 235), (220, 38, 38)
TITLE_LETTERS, CLOCK_LETTERS = 13, 12
"""Heights in pixels."""


def side_by_side(clips: Sequence[Panel], fps: float) -> Iterator[Image]:
    """Frames (H, W, 3) uint8 RGB, H and W even, that play the clips at once, each under its curve,
    along which a dot runs: a player's controls cover the lower end of the images alone.

    clips : their frames are (h, w, 3) uint8 RGB, one for each point of the curve. Lengths, sizes
    and rates may differ; a clip that has ended shows its last frame. fps : of the result. Raises
    ValueError where there is no clip, or a curve does not belong to its frames.
    """
    if not clips:
        raise ValueError("there are no clips to show beside each other")
    panels = [_Panel(*clip) for clip in clips]
    height = max(panel.height for panel in panels)
    height += height % 2
    gap = np.full((height, GAP, 3), 255, np.uint8)
    for tick in range(round(max(panel.times[-1] for panel in panels) * fps) + 1):
        drawn = (panel.draw(tick / fps, 0.5 / fps, height) for panel in panels)
        yield np.hstack([*(x for image in drawn for x in (gap, image)), gap])


class _Panel:
    """One clip: its title, its curve, its frames."""

    def __init__(self, frames: Iterable[Image], curve: Any, title: str) -> None:
        self.name = title
        self.count = len(curve.progress)
        if isinstance(frames, Sized) and len(frames) != self.count:
            raise self._other_count(len(frames))
        self.times = curve.times - curve.times[0]
        self.frames = iter(frames)
        self.index = 0
        image = self._next(0)
        rows, columns = image.shape[:2]
        longer = max(rows, columns)
        factor = max(1, round(SIDE / longer)) if longer <= LARGEST else LARGEST / longer
        self.size = max(1, round(rows * factor)), max(1, round(columns * factor))
        self.width = max(self.size[1], SIDE)
        self.width += self.width % 2
        self.height = TITLE_HEIGHT + CURVE_HEIGHT + self.size[0]
        x = BORDER + unit_time(curve.times) * (self.width - 2 * BORDER)
        y = CURVE_HEIGHT - BORDER - curve.progress * (CURVE_HEIGHT - 2 * BORDER)
        self.points = np.rint(np.stack([x, y], axis=1)).astype(np.int32)
        self.head = np.full((TITLE_HEIGHT + CURVE_HEIGHT, self.width, 3), 255, np.uint8)
        plot = self.head[TITLE_HEIGHT:]
        left, right = (BORDER, CURVE_HEIGHT - BORDER), (self.width - BORDER, BORDER)
        cv2.line(plot, left, right, (209, 213, 219), 1, cv2.LINE_AA)
        cv2.polylines(plot, [self.points], False, BLUE, 2, cv2.LINE_AA)
        font, text = _font(TITLE_LETTERS), " ".join(title.split())
        clock = _font(CLOCK_LETTERS).getlength(f"{self.times[-1]:.2f} s")
        cuts = (_shortened(text, count) for count in range(len(text), 0, -1))
        fits = (x for x in cuts if font.getlength(x) <= self.width - clock - BORDER)
        label = _written(next(fits, ""), TITLE_LETTERS, INK)
        self.head[:TITLE_HEIGHT, : label.shape[1]] = label
        self.shown = self._scaled(image)

    def draw(self, time: float, slack: float, height: int) -> Image:
        """The panel (height, W, 3) at a time in seconds: the last frame that has come by then, or
        comes within the slack."""
        image = None
        while self.index + 1 < self.count and self.times[self.index + 1] < time + slack:
            self.index += 1
            image = self._next(self.index)
        if image is not None:
            self.shown = self._scaled(image)
        made = np.full((height, self.width, 3), 255, np.uint8)
        top = TITLE_HEIGHT + CURVE_HEIGHT
        made[:top] = self.head
        text = _written(f"{min(time, self.times[-1]):.2f} s", CLOCK_LETTERS, SOFT)
        made[:TITLE_HEIGHT, self.width - text.shape[1] :] = text
        centre = (int(self.points[self.index, 0]), TITLE_HEIGHT + int(self.points[self.index, 1]))
        cv2.circle(made, centre, 6, RED, -1, cv2.LINE_AA)
        left = (self.width - self.size[1]) // 2
        made[top : top + self.size[0], left : left + self.size[1]] = self.shown
        return made

    def _next(self, index: int) -> Image:
        image = next(self.frames, None)
        if image is None:
            raise self._other_count(index)
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            found = f"{image.shape} {image.dtype}"
            raise ValueError(f"{self.name}: frames must be (H, W, 3) uint8, not {found}")
        return image

    def _other_count(self, frames: int) -> ValueError:
        counts = f"{self.count} points, the clip {frames} frames"
        return ValueError(f"{self.name}: the curve has {counts}; they must be equal")

    def _scaled(self, image: Image) -> Image:
        """The frame as large as it is shown."""
        rows, columns = self.size
        how = cv2.INTER_NEAREST if rows >= image.shape[0] else cv2.INTER_AREA
        return np.asarray(cv2.resize(image, (columns, rows), interpolation=how), np.uint8)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that matplotlib brings along: Latin, Greek, Cyrillic and more."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)


def _written(text: str, size: int, colour: tuple[int, int, int]) -> Image:
    """The text (TITLE_HEIGHT, width, 3) on white."""
    font = _font(size)
    width = max(1, round(font.getlength(text)))
    canvas = PilImage.new("RGB", (width, TITLE_HEIGHT), "white")
    ImageDraw.Draw(canvas).text((0, TITLE_HEIGHT / 2), text, colour, font, anchor="lm")
    return np.asarray(canvas, np.uint8)


def _shortened(text: str, count: int) -> str:
    """A text of at most so many letters; what is left out is its middle."""
    first = count // 2
    return text if len(text) <= count else f"{text[:first]}…{text[len(text) + 1 + first - count :]}"
