"""Every experiment of the paper that this machine can run, in one report.

    python -m benchmarks.reproduce profile=auto|embedded|full [output=results]

Prints the plan, runs it, and writes OUTPUT/tables and OUTPUT/report/index.html.
"""

import shutil
import sys
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from benchmarks import session
from benchmarks.cells import Table
from benchmarks.folder import RunFolder
from benchmarks.page import render_report
from benchmarks.paper import EXPERIMENTS, Experiment
from benchmarks.tables import table_as_csv, table_as_markdown
from spf.errors import ConfigError, SpfError, UnavailableError
from spf.words import choose

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
PROFILES = {
    "auto": "what this machine can run with the weights that are here",
    "embedded": "the models and controls that ship with the project alone",
    "full": "everything, as in the paper",
}
PLAN_COLUMNS = ["experiment", "title", "status", "reason", "embedder", "generator", "estimate"]


def plan(experiments: tuple[Experiment, ...] = EXPERIMENTS) -> Table:
    """The table that is printed first: each experiment, run or not, and why."""
    rows = []
    for item in experiments:
        runs = bool(item.runs)
        rows.append(
            {
                "experiment": item.number,
                "title": item.title,
                "status": "run" if runs else "not run",
                "embedder": item.embedder,
                "generator": item.generator,
                "estimate": f"{item.seconds:.0f} s, {item.megabytes:.0f} MB" if runs else "",
                "reason": "" if runs else f"not run: {item.reason}",
            }
        )
    return Table("plan", "The paper's experiments", PLAN_COLUMNS, rows)


def reproduce(profile: str, output: str | Path) -> int:
    """Run the plan of a profile; exit code as for a run, the worst of all.

    Raises ConfigError for an unknown profile, UnavailableError where `full` lacks something.
    """
    profile = choose(profile, PROFILES, "profile")
    table = plan()
    print(f"profile {profile}: {PROFILES[profile]}")
    print(as_text(table))
    lacking = [str(item.number) for item in EXPERIMENTS if not item.runs]
    if profile == "full" and lacking:
        raise UnavailableError(
            f"profile full needs every experiment, and {', '.join(lacking)} are not built yet; "
            "run make reproduce-paper PROFILE=auto"
        )
    place = Path(output).resolve()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    free = shutil.disk_usage(there).free / 1e6
    needed = sum(item.megabytes for item in EXPERIMENTS)
    if free < 2 * needed:
        raise UnavailableError(f"{needed:.0f} MB are needed, {free:.0f} MB are free; make room")

    runs: list[tuple[Experiment, session.Run]] = []
    for item in EXPERIMENTS:
        for words in item.runs:
            runs.append((item, session.run(_compose(words, output))))
            if runs[-1][1].code == session.INTERRUPTED:
                return session.INTERRUPTED
    root = RunFolder(output)
    _write_table(root, table.name, table)
    for _, run in runs:
        # Several runs have a table of one name: the embedder tells them apart.
        embedders = {record["embedder"] for record in run.results.records}
        suffix = f"-{embedders.pop()}" if len(embedders) == 1 else ""
        for part in run.summary.sections:
            for made in (table for table in part.tables if not table.timed):
                _write_table(root, f"{made.name}{suffix}", made)
    root.write("report/index.html", render_report(profile, table, runs))
    return max((run.code for _, run in runs), default=0)


def as_text(table: Table) -> str:
    """A table for the terminal, columns aligned."""
    lines = [table.columns, *([str(row[name]) for name in table.columns] for row in table.rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(table.columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _write_table(root: RunFolder, name: str, table: Table) -> None:
    root.write(f"tables/{name}.csv", table_as_csv(table))
    root.write(f"tables/{name}.md", table_as_markdown(table))


def _compose(words: tuple[str, ...], output: str | Path) -> DictConfig:
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose("config", [*words, "logger=csv"])
    config.output = str(output).replace("${", "\\${")
    return config


def main(arguments: list[str]) -> int:
    """The command; see the module's docstring."""
    given = {"profile": "auto", "output": "results"}
    started = time.perf_counter()
    try:
        for word in arguments:
            name, equals, value = word.partition("=")
            if name not in given or not equals:
                raise ConfigError(f"unknown argument {word!r}; known: profile=, output=")
            given[name] = value
        code = reproduce(given["profile"], given["output"])
    except SpfError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        code = session.INTERRUPTED
    if code == session.INTERRUPTED:
        print("interrupted: nothing was lost, start again to continue", file=sys.stderr)
        return code
    print(f"done in {time.perf_counter() - started:.0f} s; open the report:")
    print(Path(given["output"]) / "report" / "index.html")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
