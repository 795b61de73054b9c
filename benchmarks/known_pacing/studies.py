"""Which synthetic clips answer which question; a clip that serves several is measured once."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from spf.errors import ConfigError
from spf.names import choose
from synthetic.clips import Still, SyntheticClip, Zoomed, content
from synthetic.colours import DRIFTS
from synthetic.laws import Law, law
from synthetic.motion import CAMERA as CAMERA_KINDS
from synthetic.motion import KINDS, STRENGTHS, Motion, motion
from synthetic.photographs import RING

LAWS = ("linear", "ease_in", "ease_in_out", "sigmoid_jump", "two_jumps", "plateau", "staircase")
CAMERA = "translation"
"""The camera path of the grid and the ladder: 10% (moderate) or 30% (strong) of the frame."""

STEEPNESS = (2, 5, 10, 20, 40, 80, 160)
PLACES = (0.3, 0.5, 0.7)
JUMPS = (40, 160)
LENGTHS = (21, 41, 161)
"""Frames in a clip: a longer one at the same rate, or the same one at a higher rate; the images
and so the curves are equal."""

SIZES = (64, 192)
ASKED = ("grid", "ladder", "jumps", "leakage", "floor", "growth", "faults", "colour", "invariance")
STUDIES = (*ASKED, "robustness")
LEVELS = (0.05, 0.1, 0.2, 0.3)
DISTURBANCES = {"compression": 0.2, "noise": 0.05}
"""Strengths of the study of robustness: H.264 at crf 35, and white noise of 1% of the range."""

EXPOSURES = (0.8, 1.2)

NO_FAULT = "none"
FAULTS: Mapping[str, Callable[[float], tuple[Law, Motion | None]]] = {
    "late start": lambda s: (law("plateau", start=0.0, stop=s), None),
    "stall": lambda s: (law("plateau", start=0.5 - s / 2, stop=0.5 + s / 2), None),
    "one jump": lambda s: (law("partial_jump", share=s), None),
    "many jumps": lambda s: (law("staircase", steps=10, rise=1 - s), None),
    "flicker": lambda s: (law("linear"), motion("noise", s)),
}
"""What goes wrong with an even clip, by its strength s: it stands still for that share of the time
at the beginning, in the middle, or between ten jumps; that share of the change happens at once in
the middle; or white noise of 51 s grey levels makes every frame another."""

FAULT_STRENGTHS = (0.1, 0.3)
FAULT_FRAMES = 41

COLOURS = {
    "unmatched": tuple(pair.name for pair in RING["warp"]),
    "matched": tuple(pair.name for pair in RING["matched"]),
}
"""Contents of the study of colour: the same photographs in their own and in matched colours."""

NUISANCES = {
    "none": None,
    "camera": motion(CAMERA, 0.1),
    "drift": motion("+".join(DRIFTS), 0.15),
    "background": motion("background", 0.3),
}
"""What the study of colour sees them through: a camera path of 10% of the frame, hue, exposure and
white balance that drift by 15% (colours turn by 54 degrees in all, light and balance go from 85% to
115%, or back), and a background of which 60% become another photograph."""

COLOUR_LAWS = ("ease_in_out", "sigmoid_jump")
COLOUR_FRAMES = 31

INVARIANT_TO = "camera+light"
"""What the study of invariance corrects for, whatever the run's own `nuisance` is."""

INVARIANCE_FRAMES = 33
INVARIANCE_KINDS = (*CAMERA_KINDS, "lighting", "distractor")
FIGURE_LABELS = (
    "morph, still camera",
    "morph, moving camera",
    "still scene, moving camera",
    "zoom that is the meaning",
    "morph, hand-held camera",
)
"""Five clips of which some have motion, some a meaning, and some both."""


@dataclass(frozen=True)
class Studies:
    """The clips of a run and what they are for.

    names : which of STUDIES. contents, seeds : the samples; the pacing grid is measured on each of
    their combinations, the other studies on each content with the first seed, that of invariance
    on every second content, and that of colour on contents of its own. laws : of the grid.
    num_frames, size (height, width), fps : of all clips but some of the studies of growth, faults,
    colour and invariance. Raises ConfigError for values that make no sense.
    """

    names: Sequence[str]
    contents: Sequence[str]
    seeds: Sequence[int]
    laws: Sequence[str]
    num_frames: int
    size: Sequence[int]
    fps: float

    def __post_init__(self) -> None:
        for name in ("names", "contents", "seeds", "laws"):
            if not getattr(self, name):
                name = "studies" if name == "names" else name
                raise ConfigError(f"{name} is empty; name at least one")
        for study in self.names:
            choose(study, STUDIES, "study")
        if not all(isinstance(seed, int) for seed in self.seeds):
            raise ConfigError(f"seeds={list(self.seeds)!r} must be whole numbers")
        if not (isinstance(self.size, Sequence) and len(self.size) == 2):
            raise ConfigError(f"size={self.size!r} must be [height, width]")

    def clips(self) -> dict[SyntheticClip, set[str]]:
        """Every clip once, in a fixed order, with the names of its studies."""
        found: dict[SyntheticClip, set[str]] = defaultdict(set)
        for study, clip in self._all():
            found[clip].add(study)
        return dict(found)

    def _all(self) -> Iterator[tuple[str, SyntheticClip]]:
        if set(self.names) - {"colour", "invariance"}:
            for seed, name in product(self.seeds, self.contents):
                for study, clip in _of(self._base(name, seed), self.laws, seed == self.seeds[0]):
                    if study in (*self.names, "reference"):
                        yield study, clip
        if "colour" in self.names:
            # A seed for each pair, so that not all of them see one camera and one light.
            for names in COLOURS.values():
                for place, name in enumerate(names):
                    base = self._base(name, self.seeds[0] + place, COLOUR_FRAMES)
                    yield "reference", base
                    for nuisance, pacing in product(NUISANCES.values(), COLOUR_LAWS):
                        yield "colour", replace(base, law=law(pacing), motion=nuisance)
        if "invariance" in self.names:
            for name in self.contents[::2]:
                for clip in self._invariance(name):
                    yield "invariance", clip

    def _base(self, name: str, seed: int, frames: int | None = None) -> SyntheticClip:
        """The linearly paced, motionless clip of a content."""
        size, frames = (self.size[0], self.size[1]), frames or self.num_frames
        return SyntheticClip(content(name), num_frames=frames, size=size, fps=self.fps, seed=seed)

    def _invariance(self, name: str) -> Iterator[SyntheticClip]:
        """The morph, its jumps under camera paths, its still image under motion, and a zoom."""
        base = self._base(name, self.seeds[0], INVARIANCE_FRAMES)
        yield base
        for camera, steepness in product(cameras()[:3], STEEPNESS[::2]):
            yield _jump(base, steepness, camera)
        for kind, strength in product(INVARIANCE_KINDS, STRENGTHS):
            yield replace(base, content=Still(base.content), motion=motion(kind, strength))
        yield from self._five(name)

    def _five(self, name: str) -> dict[SyntheticClip, str]:
        """The clips of `FIGURE_LABELS` of a content."""
        base = self._base(name, self.seeds[0], INVARIANCE_FRAMES)
        pan, hand = motion(CAMERA, "strong"), motion("shake", "strong")
        clips = (
            _jump(base, STEEPNESS[2]),
            _jump(base, STEEPNESS[2], pan),
            replace(base, content=Still(base.content), motion=pan),
            replace(base, content=Zoomed(base.content, at=0.0)),
            _jump(base, STEEPNESS[2], hand),
        )
        return dict(zip(clips, FIGURE_LABELS, strict=True))

    def figure_labels(self) -> dict[SyntheticClip, str]:
        """The clips of the figure of invariance, and what they are."""
        return self._five(self.contents[::2][:2][-1]) if "invariance" in self.names else {}


def _of(
    base: SyntheticClip, laws: Sequence[str], first_seed: bool
) -> Iterator[tuple[str, SyntheticClip]]:
    """Studies of one content and seed; the costly ones for the first seed alone."""
    yield "reference", base
    for camera, name in product(cameras(), laws):
        yield "grid", replace(base, law=law(name), motion=camera)
    if not first_seed:
        return
    for camera, steepness in product(cameras()[:3], STEEPNESS):
        yield "ladder", _jump(base, steepness, camera)
    for camera, steepness, place in product(cameras()[:2], JUMPS, PLACES):
        yield "jumps", _jump(base, steepness, camera, place=place)
    still = replace(base, content=Still(base.content))
    for kind, strength in product(KINDS, STRENGTHS):
        yield "leakage", replace(still, motion=motion(kind, strength))
    for level in LEVELS:
        yield "floor", replace(still, motion=motion("noise", level))
    yield "floor", still
    eased = replace(base, law=law("ease_in_out"))
    yield "growth", eased
    for kind, level in product(("noise", "compression"), LEVELS):
        yield "growth", replace(eased, motion=motion(kind, level))
    for side in SIZES:  # a new size needs its own reference
        yield "reference", replace(base, size=(side, side))
        yield "growth", replace(eased, size=(side, side))
    for length in LENGTHS:
        yield "growth", replace(eased, num_frames=length)
    yield "growth", replace(eased, timing="variable")
    jump = replace(base, law=law("sigmoid_jump"))
    yield "robustness", jump
    for disturbance in DISTURBANCES.items():
        yield "robustness", replace(jump, motion=motion(*disturbance))
    for exposure in EXPOSURES:
        yield "robustness", replace(jump, exposure=exposure)
    for pacing, camera in faults():
        yield "faults", replace(base, num_frames=FAULT_FRAMES, law=pacing, motion=camera)


def _jump(
    base: SyntheticClip, steepness: float, camera: Motion | None = None, **more: float
) -> SyntheticClip:
    """The clip with a sigmoid jump, seen by a camera."""
    return replace(base, law=law("sigmoid_jump", steepness=steepness, **more), motion=camera)


def cameras() -> list[Motion | None]:
    """The motions of the pacing grid."""
    moderate, strong = (motion(CAMERA, strength) for strength in STRENGTHS)
    return [None, moderate, strong, motion(CAMERA, "strong", "adversarial")]


def faults() -> dict[tuple[Law, Motion | None], tuple[str, float]]:
    """The clips of the study of faults: law and motion -> the fault and its strength."""
    made = {FAULTS[fault](s): (fault, s) for fault in FAULTS for s in FAULT_STRENGTHS}
    return {(law("linear"), None): (NO_FAULT, 0.0), **made}


def clip_name(clip: SyntheticClip) -> str:
    """A name that no other clip of the studies has."""
    height, width = clip.size
    shape = f"{clip.num_frames}x{height}x{width}@{clip.fps:g}"
    timing = "" if clip.timing == "constant" else f"-{clip.timing}"
    light = "" if clip.exposure == 1.0 else f"-exposure{clip.exposure:g}"
    return f"{clip.name}/{shape}{timing}{light}"


def reference_name(clip: SyntheticClip, num_frames: int, fps: float) -> str:
    """Name of the linearly paced, motionless clip of the same morph at the same size: of num_frames
    or, where the clip is one of the short ones of the studies of colour and invariance, as short
    as it is."""
    whole = clip.content.content if isinstance(clip.content, Still) else clip.content
    short = clip.num_frames in (COLOUR_FRAMES, INVARIANCE_FRAMES)
    frames = clip.num_frames if short else num_frames
    base = SyntheticClip(whole, num_frames=frames, size=clip.size, fps=fps, seed=clip.seed)
    return clip_name(base)
