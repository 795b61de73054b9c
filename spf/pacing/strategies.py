"""What can be done with a measured curve, by the names of the configs: steer a generator's clock
(`Strategy`), show the frames of a finished clip at other times (`Resampling`), or regenerate it
between its keyframes (`Regenerate`)."""

from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from spf.errors import ConfigError
from spf.names import choose
from spf.numbers import number, optional_number
from spf.pacing.warp import Gamma, Strength, check_bands, check_gamma, flat

CORRECTIONS = ("add", "compose")
"""How a second correction joins the first: added in every band (the authors'), or the old positions
looked up where the new time map points, which is exact where all bands follow the map."""

KEEP = "keep"
CUTS = (KEEP, "bridge")
"""What is done at a hard cut (`spf.progress.cuts`): it stays one, and no frame lies between its two
shots, or it is change like any other."""
PENALTY = 1e-3
"""What one more segment must save of the sum of squared residuals: finer than the paper's 0.02,
which leaves short clips one or two segments. More keyframes hold the result nearer to the source,
and cost no more frames; segments too short to be generated are joined."""


@dataclass(frozen=True)
class Strategy:
    """What a warp is made with. This one leaves the generator's clock alone."""

    name: ClassVar[str]

    @property
    def strength(self) -> Strength:
        return flat(0.0)

    @property
    def gamma(self) -> Gamma:
        return "none"

    @property
    def iterations(self) -> int:
        """How many corrections are tried at most; 0 leaves the clip as it was first generated."""
        return 0

    @property
    def correction(self) -> str:
        """One of `CORRECTIONS`."""
        return "add"


@dataclass(frozen=True)
class NoRetime(Strategy):
    """The clip as it is."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class Resampling(Strategy):
    """Shows the frames of a finished clip, its own or generated, at the times of the map.

    Its `name` is the method of `spf.pacing.resampling`, which says what each does. cuts : one of
    `CUTS`; None keeps those of an existing clip, and bridges those of a generated one, which is a
    single shot whose jumps are to be retimed. Raises ConfigError for another one.
    """

    cuts: str | None = None

    def __post_init__(self) -> None:
        if self.cuts is not None:
            choose(self.cuts, CUTS, "way with cuts")


@dataclass(frozen=True)
class Nearest(Resampling):
    """The nearest frame: nothing is made up, frames are repeated or left out."""

    name: ClassVar[str] = "nearest"


@dataclass(frozen=True)
class Blend(Resampling):
    """Cross-fade of the two neighbours: what moves shows twice (ghosts)."""

    name: ClassVar[str] = "blend"


@dataclass(frozen=True)
class Flow(Resampling):
    """Motion-compensated: both neighbours moved along their optical flow, then blended."""

    name: ClassVar[str] = "flow"


def _check(strategy: Strategy) -> None:
    """Raises ConfigError, in one line, for settings that make no warp."""
    object.__setattr__(strategy, "gamma", check_gamma(strategy.gamma))  # a list of a config: a pair
    choose(strategy.correction, CORRECTIONS, "correction")
    number("retime: iterations", strategy.iterations, least=1, whole=True)
    _ = strategy.strength  # refuses what makes none


@dataclass(frozen=True)
class RopeFlat(Strategy):
    """Every band follows the time map by the same share alpha, at every noise level."""

    name: ClassVar[str] = "rope_flat"
    alpha: float = 1.0
    gamma: Gamma = "none"
    iterations: int = 1
    correction: str = "add"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def strength(self) -> Strength:
        return flat(self.alpha)


AUTHORS_CODE, AUTHORS_WORKFLOW, OURS = "authors_code", "authors_workflow", "ours"
_CODE = asdict(Strength()) | {"gamma": "exp_up", "iterations": 1, "correction": "add"}
_EVERY_BAND = {"alpha_low": 1.0, "bands": "flat", "gamma": "none"}
PRESETS: dict[str, dict[str, Any]] = {
    AUTHORS_CODE: _CODE,
    AUTHORS_WORKFLOW: _CODE | {"alpha_high": 0.8, "iterations": 3},
    OURS: _CODE | _EVERY_BAND | {"iterations": 3, "correction": "compose"},
}
"""Settings of `Rope` by the name of who runs it so: the defaults of the authors' script and node,
their ComfyUI workflow, and what follows a target best with the generator that ships here.
docs/concepts/retime.md says what is known of each."""


OF_PRESET: Any = None  # a setting of `Rope` that is its preset's


@dataclass(frozen=True)
class Rope(Strategy):
    """Frequency-aware: low frequencies follow the time map most.

    preset : a name of `PRESETS`; what is None is the preset's. Raises ConfigError for settings that
    make no warp.
    """

    name: ClassVar[str] = "rope"
    preset: str = AUTHORS_CODE
    alpha_low: float = OF_PRESET
    alpha_high: float = OF_PRESET
    decay: float = OF_PRESET
    order: str = OF_PRESET
    bands: str | tuple[float, ...] = OF_PRESET
    gamma: Gamma = OF_PRESET
    iterations: int = OF_PRESET
    correction: str = OF_PRESET

    def __post_init__(self) -> None:
        for name, value in self.defaults().items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "bands", check_bands(self.bands))
        _check(self)

    def defaults(self) -> dict[str, Any]:
        """The settings that its preset stands for. Raises ConfigError for an unknown preset."""
        return PRESETS[choose(self.preset, PRESETS, "preset")]

    @property
    def strength(self) -> Strength:
        return Strength(**{item.name: getattr(self, item.name) for item in fields(Strength)})


@dataclass(frozen=True)
class RopeIterative(Rope):
    """As `Rope`, measured again and corrected until the pacing comes no nearer to its target: three
    times at most unless its preset says more."""

    name: ClassVar[str] = "rope_iterative"

    def defaults(self) -> dict[str, Any]:
        preset = super().defaults()
        return preset | {"iterations": max(3, preset["iterations"])}


RESAMPLINGS: dict[str, type[Resampling]] = {kind.name: kind for kind in (Nearest, Blend, Flow)}
"""The strategies that resample a clip, by name; no generator is needed."""

STEERING = RopeFlat(iterations=3, correction="compose")
"""How segments are steered where nothing else is chosen: exact where all bands follow the map."""


@dataclass(frozen=True)
class Regenerate(Strategy):
    """An existing clip, regenerated between its keyframes (`spf.pacing.regeneration`).

    cuts : one of `CUTS`: nothing is generated across a cut that is kept.
    penalty, n_segments : as in `spf.segment`, with a finer default. strategy : name of a ReTime
    strategy, "none" for plain regeneration; None is `STEERING`. method : how frames are brought to
    length where the generator cannot make the number (`resampled`). prompt : for every segment.
    seed : of the noise.

    Raises ConfigError for names and numbers that make no sense.
    """

    name: ClassVar[str] = "regenerate"
    cuts: str = "keep"
    penalty: float = PENALTY
    n_segments: int | None = None
    strategy: str | None = None
    method: str = "flow"
    prompt: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        choose(self.cuts, CUTS, "way with cuts")
        choose(self.method, RESAMPLINGS, "method")
        if self.strategy is not None:
            choose(self.strategy, STEERING_NAMES, "way to steer")
        number("retime.penalty", self.penalty, least=0)
        optional_number("retime.n_segments", self.n_segments, least=1, whole=True)
        if not isinstance(self.prompt, str):
            raise ConfigError(f"retime.prompt={self.prompt!r} must be text")
        number("retime.seed", self.seed, least=0, whole=True)

    @property
    def steering(self) -> Strategy:
        return make_strategy(self.strategy or STEERING)


FOR_FINISHED: dict[str, type[Resampling] | type[Regenerate]] = {
    **RESAMPLINGS,
    Regenerate.name: Regenerate,
}
"""The strategies that take a finished clip, by name."""

RETIMES: dict[str, type[Strategy]] = {
    **{kind.name: kind for kind in (NoRetime, Rope, RopeFlat, RopeIterative)},
    **FOR_FINISHED,
}
"""All strategies by name; `STEERING_NAMES` are those of them that take a generator's clock."""

STEERING_NAMES = tuple(name for name in RETIMES if name not in FOR_FINISHED)


def make_strategy(strategy: str | Strategy) -> Strategy:
    """The strategy of a name, with its defaults, for a generator's clock. Raises ConfigError for an
    unknown name, and for those that take a finished clip: `Resampling` and `Regenerate`."""
    made = RETIMES[choose(strategy, RETIMES, "retime")]() if isinstance(strategy, str) else strategy
    if isinstance(made, Resampling | Regenerate):
        what = "resamples" if isinstance(made, Resampling) else "regenerates"
        known = f"choose one that steers: {', '.join(STEERING_NAMES)}"
        raise ConfigError(f"retime={made.name} {what} a finished clip; {known}")
    return made


def make_method(method: str | Resampling | Regenerate, **settings: Any) -> Resampling | Regenerate:
    """The strategy of a name of `FOR_FINISHED`, with settings. Raises ConfigError for impossible
    ones and unknown names."""
    if isinstance(method, str):
        method = FOR_FINISHED[choose(method, FOR_FINISHED, "method")]()
    known = [item.name for item in fields(method)]
    chosen = {}
    for name, value in settings.items():
        if name not in known and name in Regenerate.__dataclass_fields__:
            raise ConfigError(f"{name}: only method=regenerate has such a setting")
        chosen[choose(name, known, f"setting of {method.name}")] = value
    return replace(method, **chosen) if chosen else method


def described(thing: Any) -> str:
    """A strategy or target by its name and the settings that are not its defaults."""
    items = fields(thing) if is_dataclass(thing) else ()
    defaults = {item.name: item.default for item in items if item.default is not MISSING}
    shown = []
    if isinstance(thing, Rope):
        defaults |= thing.defaults() | {"preset": thing.preset}
        shown = [thing.preset]
    for name, default in defaults.items():
        if (value := getattr(thing, name)) != default:
            # A table must not say where on a machine a file lies.
            text = Path(str(value)).name if name == "path" else setting_text(value)
            shown.append(f"{name}={text}")
    name = getattr(thing, "name", "function")
    return f"{name} ({', '.join(shown)})" if shown else name


def setting_text(value: Any) -> str:
    """A setting as labels and notes write it: 3.0 as 3, a list as [1 0.3]."""
    if isinstance(value, tuple):
        return f"[{' '.join(map(setting_text, value))}]"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if is_number else str(value)
