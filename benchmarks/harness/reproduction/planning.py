"""What of the plan runs here: each part of each experiment, or why not, and what it would need."""

import shlex
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra.utils import get_class
from omegaconf import DictConfig

from benchmarks.harness import commandline
from benchmarks.harness.cells import Table
from benchmarks.harness.session import build
from benchmarks.paper import CLIPS, MINUTES, Experiment, Options, Part
from spf.embedders import available
from spf.errors import ConfigError, UnavailableError
from spf.generators import MODELS
from spf.generators.folder import clips_of
from spf.generators.weights import MODEL_REPOSITORIES
from spf.quality import DEFAULT_DIMENSIONS, missing_weights

AUTO, EMBEDDED, FULL = "auto", "embedded", "full"
PROFILES = {
    AUTO: "what this machine can run with the weights that are here",
    EMBEDDED: "the models and controls that ship with the project alone",
    FULL: "everything, as in the paper",
}
NO_FOOTAGE = "no footage; FOOTAGE=FOLDER"
NOT_CHOSEN = "not among the experiments that were chosen"
NOT_RUN = ("what", "experiments", "reason", "gpu_hours")
COLUMNS = (
    *("experiment", "title", "status", "reason"),
    *("embedder", "generator", "options", "estimate"),
)


@dataclass(frozen=True)
class Planned:
    """A part of an experiment with its options, or an experiment that was not chosen; `why_not`
    says why it is not run, and is empty where it is. absent : what it needs and is not here, and
    why."""

    experiment: Experiment
    part: Part | None
    options: Options
    why_not: str
    absent: tuple[tuple[str, str], ...] = ()

    @property
    def reason(self) -> str:
        """The same as tables have it."""
        return f"not run: {self.why_not}" if self.why_not else ""


def plan(
    profile: str,
    experiments: Sequence[Experiment],
    footage: str | None = None,
    chosen: Collection[int] = (),
) -> list[Planned]:
    """Every part in its order. footage : folder of the user's clips. chosen : numbers of the
    experiments that are run; () for all. Raises ConfigError for wrong ones of both."""
    numbers = [item.number for item in experiments]
    if unknown := sorted({*chosen} - {*numbers}):
        known = ", ".join(map(str, numbers))
        raise ConfigError(f"experiment {unknown[0]} is unknown; there are {known}")
    clips = 0 if footage is None else len(clips_of(footage))
    found = []
    for item in experiments:
        if chosen and item.number not in chosen:
            found.append(Planned(item, None, (), NOT_CHOSEN))
            continue
        for part in item.parts:
            if part.footage and footage is not None:
                costs = ("seconds", "megabytes", "gpu_hours")
                whole = {name: clips * getattr(part, name) for name in costs}
                part = replace(part, footage=False, **whole)
            options = part.options + (part.embedded if profile == EMBEDDED else ())
            if profile == EMBEDDED and part.needs:
                why = "profile embedded takes what ships alone"
                found.append(Planned(item, part, options, why))
                continue
            absent = _absent(part)
            why = "; ".join(why for _, why in absent) or _refusal(part, footage)
            found.append(Planned(item, part, options, why, absent))
    return found


def _absent(part: Part) -> tuple[tuple[str, str], ...]:
    """What a part needs that is not here, and why."""
    footage = [("footage", NO_FOOTAGE)] * part.footage
    needs = [(option, why) for option in part.needs if (why := missing_requirements(option))]
    return (*footage, *needs)


def _refusal(part: Part, footage: str | None) -> str:
    """Why a part that lacks nothing cannot run; "" where it can."""
    if not part.needs:
        return ""
    try:
        build(compose(part.options, "results", footage))  # compares memory with the weights' sizes
    except UnavailableError as error:
        return str(error)
    return ""


def as_table(planned: Sequence[Planned]) -> Table:
    """The table that is printed first, and heads the report."""
    rows = [
        {
            "experiment": one.experiment.number,
            "title": one.experiment.title,
            "status": "not run" if one.why_not else "run",
            "reason": one.reason,
            "embedder": one.part.embedder if one.part else "",
            "generator": one.part.generator if one.part else "",
            "options": shlex.join(one.options),
            "estimate": estimate(one.part) if one.part else "",
        }
        for one in planned
    ]
    return Table.of_rows("plan", "The paper's experiments", COLUMNS, rows)


def not_run(planned: Sequence[Planned]) -> Table:
    """What was not run, and what of the runs is missing: a row for each reason."""
    found: dict[tuple[str, str], list[Planned]] = defaultdict(list)
    for one in planned:
        if one.why_not:
            what = f"{one.part.embedder}; {one.part.generator}" if one.part else "all"
            found[what, one.why_not].append(one)
            continue
        for option in one.part.wants if one.part else ():
            if why := missing_requirements(option):
                found[option.replace("=", " "), why].append(one)
    rows = [
        {
            "what": what,
            "experiments": ", ".join(dict.fromkeys(str(x.experiment.number) for x in own)),
            "reason": why,
            "gpu_hours": sum(x.part.gpu_hours for x in own if x.part) or None,
        }
        for (what, why), own in found.items()
    ]
    return Table.of_rows("not_run", "What they need", NOT_RUN, rows)


def missing_requirements(option: str) -> str:
    """What an option such as `model=wan22` needs and is not here, with its remedy; or ""."""
    group, _, name = option.partition("=")
    if group == "embedder":
        return available()[name]
    if group == "quality":
        absent = sum(bool(missing_weights(one)) for one in DEFAULT_DIMENSIONS)
        which = f"of {absent} of VBench's {len(DEFAULT_DIMENSIONS)} dimensions"
        return f"weights absent ({which}): make weights QUALITY={name}" if absent else ""
    kind = get_class(MODELS[name])
    return str(getattr(kind, "missing_requirements", str)())


def require_everything(planned: Sequence[Planned]) -> None:
    """Raise UnavailableError unless everything but footage is here, with all that is missing."""
    options = [x for one in planned if one.part for x in one.part.needs + one.part.wants]
    missing = [why for option in dict.fromkeys(options) if (why := missing_requirements(option))]
    small = [one.why_not for one in planned if one.part and not one.absent]
    missing += filter(None, dict.fromkeys(small))  # what is here, but does not fit
    if missing:
        raise UnavailableError(
            f"profile full lacks: {'; '.join(missing)}. In all it takes {requirements(planned)}; "
            "run make reproduce-paper PROFILE=auto for what is here"
        )


def requirements(planned: Sequence[Planned]) -> str:
    """Disk, GPU memory and hours of all parts together, as a phrase; those of footage that is not
    here are left out."""
    parts = [one.part for one in planned if one.part]
    options = {option for part in parts for option in part.needs + part.wants}
    models = sorted(x.removeprefix("model=") for x in options if x.startswith("model="))
    sizes = [2 * next(iter(MODEL_REPOSITORIES[name].values())).billions for name in models]
    disk = sum(part.megabytes for part in parts if not part.footage) / 1000
    hours = sum(part.gpu_hours for part in parts if not part.footage)
    clip = sum(part.gpu_hours for part in parts if part.footage)
    more = f", and {clip:.0f} more for each clip of footage" if clip else ""
    minutes = " and ".join(f"{MINUTES[name]:.0f} for {name}" for name in models)
    return (
        f"about {sum(sizes):.0f} GB of weights and {disk:.0f} GB of results on disk, a GPU that "
        f"holds {max(sizes, default=0):.0f} GB and its activations (or model.offload=model), and "
        f"about {hours:.0f} GPU hours{more} (assuming minutes a clip: {minutes}; never measured)"
    )


def compose(options: Options, output: str | Path, footage: str | None = None) -> DictConfig:
    """The config of a part. footage : folder of the user's clips, for parts that take some."""
    clips, folder = (commandline.quoted(str(path)) for path in (footage, output))
    named = [f"benchmark.clips={clips}" if option == CLIPS else option for option in options]
    return commandline.compose([*named, "logger=csv", f"output={folder}"])


def estimate(part: Part) -> str:
    time = f"{part.gpu_hours:.1f} GPU hours" if part.gpu_hours else f"{part.seconds:.0f} s"
    return f"{time}, {part.megabytes:.0f} MB" + " a clip" * part.footage
