"""One run from its config to its page: plan, cells, records, tables, page, tracker."""

import inspect
import json
import operator
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmarks.harness.cells import Benchmark, Cell, Summary
from benchmarks.harness.commandline import PATHS, escaped
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.harness.measuring import Measuring
from benchmarks.harness.pool import visible_gpus
from benchmarks.harness.records import DONE, NOT_RUN, compile_tables, provenance
from benchmarks.harness.report.page import TEMPLATES, render_page
from benchmarks.harness.report.tables import table_as_csv, table_as_markdown
from benchmarks.harness.report.trackers import ELSEWHERE, NoTracker
from benchmarks.harness.runner import Job, Results, Workers, one_line, run_cells
from benchmarks.harness.store import CELLS, CellStore, CompletedCell
from spf.cache import user_cache
from spf.commands.output import WIDTH, print_table
from spf.devices import choose_device
from spf.embedders import DEFAULT_EMBEDDER, EMBEDDERS, RENDERED_EMBEDDER, on_device
from spf.embedders.views import views_of
from spf.errors import ConfigError, SpfError, UnavailableError
from spf.extras import require_extra
from spf.generators.stills import NoStills
from spf.identity import code_hash, digest, file_digest
from spf.measurement import DEFAULT_SETTINGS
from spf.names import choose, printable
from spf.numbers import optional_number
from spf.progress import Settings
from spf.quality import NoQuality
from spf.video import Sampling

INTERRUPTED = 130

ENGINES = ("local", "ray")

GROUPS = ("embedder", "model", "retime", "target")
"""Parts of a cell's key by which a plan counts cells."""


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its exit code, and what it found."""

    folder: RunFolder
    code: int
    results: Results
    summary: Summary


def run(config: DictConfig, quiet: bool = False) -> Run:
    """Run one experiment and write everything to OUTPUT/runs/NAME, after Ctrl-C what is finished.
    Raises ConfigError and UnavailableError before any work begins."""
    config = resolved(config)
    benchmark, job = make_job(config)
    tracker: NoTracker = _make(config.logger)
    workers = _workers(config, benchmark, job)
    folder = job.store.folder
    folder.prepare()
    folder.start_over(job.store.fresh)
    job.store.store.sweep()
    plan = benchmark.plan()
    folder.write("config.yaml", OmegaConf.to_yaml(config))

    def begin(found: Mapping[int, CompletedCell]) -> None:
        if not quiet:
            print_plan(plan, job.cells, found)
        if len(found) < len(job.cells):
            benchmark.prepare()
        done = sum(one.record["status"] == DONE for one in found.values())
        total = len(job.cells) - len(found) + done  # those that are not run count nowhere
        tracker.start(folder, identity(config), total, done)

    results = run_cells(job, workers, begin, lambda one: tracker.on_completed(one.record))
    code = INTERRUPTED if results.interrupted else int(results.failed > 0)
    results.records += benchmark.imported  # with failures that are not this run's
    summary = benchmark.summarise(results.records, folder)
    write_results(folder, results, summary)
    folder.write("index.html", render_page(plan, summary, results, folder))
    published = stopped = ""
    if results.interrupted:
        stopped = "interrupted; "
    else:
        published = tracker.publish(folder, results.records, summary)
    if not quiet:
        reused = f", {results.reused} taken from an earlier run" if results.reused else ""
        first = [text for section in summary.sections[:1] for text in section.paragraphs]
        lines = [f"{stopped}{summary.headline}{reused}", *first, published]
        print("\n".join(filter(None, lines)), file=sys.stderr)
        benchmark.show(folder)
    return Run(folder, code, results, summary)


def run_once(config: DictConfig) -> Run:
    """`run`, or what it gave the last time where nothing that determines it has changed: an entry
    of the store of cells, whose key is a hash of the cells and of the code."""
    benchmark, job = make_job(resolved(config))
    if benchmark.volatile:
        return run(config)
    cells = [[cell.identity, cell.not_run] for cell in job.cells]
    page = [file_digest(path) for path in sorted(TEMPLATES.iterdir()) if path.is_file()]
    key = digest([cells, job.store.fresh, page, code_hash(type(benchmark), __name__)])
    entry = job.store.get(key)
    if entry is not None and len(found := job.completed()) == len(cells):
        records = [one.record for one in found.values()]
        results = Results(records, reused=len(records))
        return Run(job.store.folder, 0, results, Summary.of_plain(entry.about))
    return store_run(run(config), job.store, key)


def store_run(made: Run, store: CellStore, key: str) -> Run:
    """Store a run, unless cells failed or are missing; the run, as it will be read."""
    numbers = operator.methodcaller("item")  # NumPy's as Python's
    summary = json.loads(json.dumps(made.summary.plain(), default=numbers))
    if made.code == 0:
        folder = made.folder
        paths = [figure.path for section in made.summary.sections for figure in section.figures]
        paths += [path.name for path in folder.root.iterdir() if path.is_file()]
        store.put(key, summary, {path: folder.path(path) for path in sorted({*paths})})
    return replace(made, summary=Summary.of_plain(summary))


def make_job(config: DictConfig) -> tuple[Benchmark, Job]:
    """The benchmark of a config, its cells, where they are stored, and their provenance."""
    benchmark = build(config)
    parts = tuple(get_class(config[name]._target_) for name in ("embedder", *_taken(config)))
    cells = [replace(cell, parts=parts) for cell in benchmark.cells()]
    code = code_hash(type(benchmark), __name__)
    if not (isinstance(config.output, str) and config.output):
        raise ConfigError(f"output={config.output!r} must be the name of a folder")
    # A folder's path distinguishes runs, but says nothing of what its rows mean.
    settings = identity(config)
    others = settings["benchmark"].pop("inputs", [])  # runs whose rows say themselves what they are
    paths = [settings[name].pop("path", None) for name in ("model", "stills")]
    paths += [settings["benchmark"].pop("clips", None), *others]
    clips = [os.path.abspath(str(path)) for path in paths if path]
    config_hash = digest([settings, code])
    name = config.name
    if name is None:
        embedders = dict.fromkeys(cell.key.embedder for cell in cells)
        name = "-".join([benchmark.name, *embedders, digest([config_hash, clips])[:8]])
    elif not str(name) or slug(str(name)) != str(name):
        raise ConfigError(f"name={name!r}: use letters, digits, dots, hyphens and underscores")
    output = Path(config.output)
    folder = RunFolder(output / "runs" / str(name))
    benchmark.store_in(folder)
    used = [benchmark.measuring.embedder, getattr(benchmark, "model", None)]
    device = "+".join(sorted({getattr(part, "device", "cpu") for part in used}))
    fresh = config.fresh
    if fresh is not None and not (isinstance(fresh, str) and fresh):
        raise ConfigError(f"fresh={fresh!r} must be a name of your choice, as in fresh=again")
    store = CellStore(output / CELLS, folder, config_hash, fresh)
    return benchmark, Job(cells, store, provenance(config_hash, device))


def _workers(config: DictConfig, benchmark: Benchmark, job: Job) -> Workers:
    on_gpu = "cuda" in job.common["device"]
    gpus = visible_gpus(config.device) if on_gpu else []
    engine = choose(str(config.engine), ENGINES, "engine")
    if engine == "ray":
        require_extra("engine=ray", "corpus")
        if str(config.device).startswith("cuda:"):
            raise ConfigError(
                f"device={config.device}: with engine=ray, Ray shares the GPUs out; use device=cuda"
            )
    asked = optional_number("workers", config.workers, least=1, whole=True)
    return Workers(asked, benchmark.workers, gpus, engine)


def build(config: DictConfig) -> Benchmark:
    """The benchmark of a config. Raises ConfigError, in one line, for what it cannot be made of."""
    try:
        if not isinstance(config.cache, bool):
            raise ConfigError(f"cache={config.cache!r}: choose true or false")
        choose_device(config.device)  # even where no embedder of this run could use it
        kind = get_class(config.embedder._target_)
        missing = None
        try:
            embedder = _make(config.embedder, **on_device(kind, config.device))
        except UnavailableError as error:
            missing, embedder = error, object.__new__(kind)  # it has its name: enough for a plan
        measuring = Measuring(
            embedder,
            fit_settings(config.fit),
            Sampling(**config.sampling),
            optional_number("batch_size", config.batch_size, least=1, whole=True),
            user_cache() if config.cache else None,
            str(config.device),
            str(config.nuisance),
        )
        views_of(measuring.nuisance)  # an unknown one is refused before any work
        arguments: dict[str, Any] = {"measuring": measuring}
        taken = _taken(config)
        for name in taken:
            kind = get_class(config[name]._target_)
            arguments[name] = _make(config[name], **on_device(kind, config.device))
        for name, nothing in {"quality": NoQuality, "stills": NoStills}.items():
            if name not in taken and get_class(config[name]._target_) is not nothing:
                benchmark = vars(get_class(config.benchmark._target_)).get("name")
                raise ConfigError(f"benchmark={benchmark} uses no {name}; write {name}=none")
        if missing is not None:
            missing.plan = _plan_without(config, arguments)
            raise missing
        return _make(config.benchmark, **arguments)
    except SpfError:
        raise
    except Exception as error:  # whatever a wrong type or an unknown name leads to
        raise ConfigError(f"the configuration makes no sense: {one_line(error)}") from None


def _plan_without(config: DictConfig, arguments: dict[str, Any]) -> str:
    """The plan of a benchmark whose embedder is not here; "" where it has none without."""
    try:
        return str(_make(config.benchmark, **arguments).plan())
    except UnavailableError as error:
        return error.plan
    except AttributeError:
        return ""


def _taken(config: DictConfig) -> list[str]:
    """The groups, beside the embedder, whose objects the benchmark takes."""
    parameters = inspect.signature(get_class(config.benchmark._target_)).parameters
    known = ("model", "retime", "target", "quality", "stills")
    return [name for name in known if name in parameters]


def identity(config: DictConfig) -> dict[str, Any]:
    """What of a config determines its results: not where they go, nor where they are published."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    # A default is the same whether it is written down or not.
    plain["fit"] = asdict(fit_settings(plain["fit"]))
    plain["device"] = choose_device(plain["device"])
    return {str(name): value for name, value in plain.items() if name not in ELSEWHERE}


def fit_settings(settings: Mapping[Any, Any]) -> Settings:
    """The settings of a fit, with the types of the library's defaults, which stand for None."""
    whole = vars(DEFAULT_SETTINGS) | {x: y for x, y in settings.items() if y is not None}
    for name, default in vars(DEFAULT_SETTINGS).items():
        if isinstance(default, float) and type(whole[name]) is int:
            whole[name] = float(whole[name])
    return Settings(**whole)


def resolved(config: DictConfig) -> DictConfig:
    """The config with everything looked up, and `~` expanded in paths. Raises ConfigError."""

    def plain(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: plain(inner, f"{key}.{name}".strip(".")) for name, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner, key) for inner in value]
        if not isinstance(value, str):
            return value
        return escaped(os.path.expanduser(value) if key in PATHS else value)

    try:
        found: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"the configuration makes no sense: {one_line(error)}") from None
    if found["embedder"]["_target_"] is None:
        benchmark, model = found["benchmark"], found["model"]
        real_footage = (
            model["_target_"] == "spf.generators.folder.Folder"
            or benchmark["_target_"].endswith(".Leaderboard")
            or benchmark.get("clips")
        )
        name = DEFAULT_EMBEDDER if real_footage else RENDERED_EMBEDDER
        found["embedder"] = {"_target_": EMBEDDERS[name]}
    return OmegaConf.create(plain(found, ""))


def write_results(folder: RunFolder, results: Results, summary: Summary) -> None:
    """records.*, timings.parquet and a CSV and a Markdown file for each table of the summary."""
    compile_tables(folder, results.records)
    folder.write("timings.parquet", pd.DataFrame(results.timings).to_parquet(index=False))
    for section in summary.sections:
        for table in section.tables:
            if table.timed:
                continue  # its seconds are in timings.parquet
            folder.write(f"{table.name}.csv", table_as_csv(table))
            folder.write(f"{table.name}.md", table_as_markdown(table))


def print_plan(plan: str, cells: Sequence[Cell], found: Mapping[int, CompletedCell]) -> None:
    """Print what a run is about to do: its cells by embedder, model, strategy and target. found :
    those that need no computing, by index."""
    first, *more = f"plan: {plan}".splitlines()
    wrap = partial(textwrap.fill, width=WIDTH, break_on_hyphens=False)
    print(wrap(printable(first), subsequent_indent="  "), file=sys.stderr)
    for line in more:
        text = wrap(printable(line), initial_indent="  ", subsequent_indent="    ")
        print(text, file=sys.stderr)
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for index, cell in enumerate(cells):
        group = tuple(str(getattr(cell.key, name)) for name in GROUPS)
        status = found[index].record["status"] if index in found else "to do"
        counts.setdefault(group, Counter())[status] += 1
    shown = {"done already": DONE, "to do": "to do", "not run": NOT_RUN}
    rows = [
        dict(zip(GROUPS, group, strict=True))
        | {"cells": str(count.total())}
        | {name: str(count[key] or "-") for name, key in shown.items()}
        for group, count in counts.items()
    ]
    if rows:
        print_table(rows, dict.fromkeys(["cells", *shown], ""), stderr=True)


def _make(node: DictConfig, **arguments: Any) -> Any:
    """The object of a config's `_target_`; ConfigError, in one line, for settings it refuses."""
    settings = OmegaConf.to_container(node, resolve=True)
    assert isinstance(settings, dict)
    make = get_class(settings.pop("_target_"))
    try:
        return make(**{str(name): value for name, value in settings.items()}, **arguments)
    except (ValueError, TypeError) as error:
        raise ConfigError(one_line(error)) from None
