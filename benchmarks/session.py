"""One run from its config to its page: plan, cells, records, tables, page, tracker."""

import io
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from benchmarks.cells import Benchmark, Summary
from benchmarks.folder import RunFolder
from benchmarks.measuring import Measuring
from benchmarks.page import render_page
from benchmarks.provenance import code_version, digest, provenance
from benchmarks.records import CellStore, compile_tables
from benchmarks.runner import Job, Results, run_cells
from benchmarks.tables import table_as_csv, table_as_markdown
from spf.errors import ConfigError
from spf.measurement import DEFAULT_SETTINGS
from spf.progress import Settings
from spf.video import Sampling

INTERRUPTED = 130

ELSEWHERE = ("output", "name", "workers", "logger", "hydra")
"""Parts of a config that say where results go and who computes them, not what they are."""


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its exit code, and what it found."""

    folder: RunFolder
    code: int
    results: Results
    summary: Summary


def run(config: DictConfig, quiet: bool = False) -> Run:
    """Run one experiment and write everything to OUTPUT/runs/NAME.

    Exit code: 0 all cells done; 1 some failed; 130 after Ctrl-C, with what was finished recorded.
    Raises ConfigError and UnavailableError before any work begins.
    """
    benchmark = build(config)
    tracker = _instantiate(config.logger)
    text = OmegaConf.to_yaml(config, resolve=True)
    job = make_job(text)
    folder = job[1].folder
    folder.prepare()
    say = (lambda *_: None) if quiet else partial(print, file=sys.stderr)
    say(f"plan: {benchmark.plan()}")
    folder.write("config.yaml", text)
    results = run_cells(job, partial(make_job, text), _workers(config.workers), "clip")
    summary = benchmark.summarise(results.records, folder)
    write_results(folder, results, summary)
    folder.write("index.html", render_page(benchmark.plan(), summary, results.records, folder))
    where = ""
    if not results.interrupted:
        name = folder.root.name
        where = tracker.publish(name, identity(config), results.records, summary, folder)
    for line in (_outcome(results, summary), where):
        if line:
            say(line)
    code = INTERRUPTED if results.interrupted else int(results.failed > 0)
    return Run(folder, code, results, summary)


def make_job(text: str) -> Job:
    """The cells of a config (YAML), where they are kept, and the provenance of new records.

    Worker processes make the same job from the same text.
    """
    config = OmegaConf.create(text)
    assert isinstance(config, DictConfig)
    benchmark = build(config)
    cells = benchmark.cells()
    config_hash = digest([identity(config), code_version("spf", "synthetic", "benchmarks")])
    embedders = dict.fromkeys(cell.key.embedder for cell in cells)
    name = config.name or "-".join([benchmark.name, *embedders, config_hash[:8]])
    if Path(name).name != name:
        raise ConfigError(f"name={name!r} must be one folder's name, without slashes")
    folder = RunFolder(Path(config.output) / "runs" / name)
    return cells, CellStore(folder), provenance(config_hash, device="cpu")


def build(config: DictConfig) -> Benchmark:
    """The benchmark of a config. Raises ConfigError for values out of range, in one line."""
    settings = {name: value for name, value in config.fit.items() if value is not None}
    try:
        measuring = Measuring(
            _instantiate(config.embedder),
            Settings(**(vars(DEFAULT_SETTINGS) | settings)),
            Sampling(**config.sampling),
            _batch_size(config.batch_size),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if config.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device={config.device!r}: choose auto, cpu or cuda")
    arguments: dict[str, Any] = {"measuring": measuring}
    if config.benchmark._target_.endswith("Leaderboard"):
        arguments["model"] = _instantiate(config.model)
    return _instantiate(config.benchmark, **arguments)


def identity(config: DictConfig) -> dict[str, Any]:
    """What of a config determines its results: not where they go, nor who is told."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items() if k not in ELSEWHERE}


def write_results(folder: RunFolder, results: Results, summary: Summary) -> None:
    """records.*, timings.parquet and a CSV and a Markdown file for each table of the summary."""
    compile_tables(folder, results.records)
    buffer = io.BytesIO()
    pd.DataFrame(results.timings).to_parquet(buffer, index=False)
    folder.write("timings.parquet", buffer.getvalue())
    for section in summary.sections:
        for table in section.tables:
            folder.write(f"{table.name}.csv", table_as_csv(table))
            folder.write(f"{table.name}.md", table_as_markdown(table))


def _workers(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ConfigError(f"workers={value!r} must be a whole number, at least 1")
    return value


def _batch_size(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ConfigError(f"batch_size={value!r} must be a whole number, at least 1")
    return value


def _instantiate(node: DictConfig, **arguments: Any) -> Any:
    """The object of a config's `_target_`; ConfigError, in one line, for settings it refuses."""
    try:
        # In two steps: Hydra would turn dataclasses among the arguments into dicts.
        make = instantiate(node, _partial_=True, _convert_="all")
        return make(**arguments)
    except (InstantiationException, ValueError, TypeError) as error:
        raise ConfigError(" ".join(str(error).split())) from None


def _outcome(results: Results, summary: Summary) -> str:
    reused = f", {results.reused} taken from an earlier run" if results.reused else ""
    stopped = "interrupted; " if results.interrupted else ""
    return f"{stopped}{summary.headline}{reused}"
