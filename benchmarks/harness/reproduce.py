"""Every experiment of the paper that this machine can run, in one report.

    python -m benchmarks reproduce --profile auto|embedded|full

Prints the plan, runs it, and writes OUTPUT/tables and OUTPUT/report/index.html.
"""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from textwrap import fill

from benchmarks.harness import session
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.report.players import make_player
from benchmarks.harness.report.reproduction_page import (
    Chapter,
    make_part,
    render_report,
)
from benchmarks.harness.report.tables import table_as_csv, table_as_markdown
from benchmarks.harness.reproduction.claims import best_warp, claims, findings
from benchmarks.harness.reproduction.planning import (
    FULL,
    PROFILES,
    Planned,
    as_table,
    compose,
    estimate,
    not_run,
    plan,
    require_everything,
    requirements,
)
from benchmarks.paper import CLIPS, EXPERIMENTS
from spf.errors import UnavailableError
from spf.names import choose

Runs = dict[Planned, session.Run]

TABLES = (".csv", ".md")
"""Endings of the files that a table is written to; others in the folder are not ours."""

WIDTH = 100
"""Columns of the plan in a terminal."""


def reproduce(
    profile: str,
    output: str | Path,
    footage: str | None = None,
    chosen: Collection[int] = (),
) -> int:
    """Run the plan of a profile; exit code as for a run, the worst of all. footage, chosen : as of
    `plan`. Raises ConfigError for wrong arguments, UnavailableError where `full` lacks something.
    """
    profile = choose(profile, PROFILES, "profile")
    planned = plan(profile, EXPERIMENTS, footage, chosen)
    print(f"profile {profile}: {PROFILES[profile]}")
    print(as_text(planned))
    if profile == FULL:
        print(f"in all: {requirements(planned)}")
        require_everything(planned)
    place = Path(output).resolve()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    free = shutil.disk_usage(there).free / 1e6
    needed = sum(one.part.megabytes for one in planned if one.part and not one.why_not)
    if free < 2 * needed:
        raise UnavailableError(f"{needed:.0f} MB are needed, {free:.0f} MB are free; make room")
    runs: Runs = {}
    for one in planned:
        if not one.why_not:
            runs[one] = session.run_once(compose(one.options, output, footage))
            if runs[one].code == session.INTERRUPTED:
                return session.INTERRUPTED
    _write(profile, planned, runs, RunFolder(output), chosen)
    return max((run.code for run in runs.values()), default=0)


def _write(
    profile: str,
    planned: Sequence[Planned],
    runs: Runs,
    root: RunFolder,
    chosen: Collection[int] = (),
) -> None:
    """Tables and report. Of `chosen` experiments, they stand beside those of a whole run."""
    plan_name = "plan" if not chosen else f"plan_{'_'.join(map(str, chosen))}"
    made = {plan_name: as_table(planned)} | {
        f"{one.name}{_suffix(planned, run)}": one
        for planned, run in runs.items()
        for part in run.summary.sections
        for one in part.tables
        if not one.timed
    }
    for old in root.path("tables").glob("*.*"):
        if not chosen and old.stem not in made and old.suffix in TABLES and old.is_file():
            old.unlink()  # of an experiment that has another name now, or is gone
    for name, one in made.items():
        root.write(f"tables/{name}.csv", table_as_csv(one))
        root.write(f"tables/{name}.md", table_as_markdown(one))
    records = [record for run in runs.values() for record in run.results.records]
    page = render_report(profile, chapters(planned, runs), not_run(planned), records)
    root.write(f"report/{page_name(chosen)}", page)


def page_name(chosen: Collection[int]) -> str:
    """The report's file: of a whole run, or of the experiments that were chosen."""
    return f"experiments-{'-'.join(map(str, chosen))}.html" if chosen else "index.html"


def _suffix(planned: Planned, run: session.Run) -> str:
    """What distinguishes the tables of several runs: the embedder, and the model and the quality
    where they are named."""
    embedders = {record["embedder"] for record in run.results.records}
    names = [*embedders] if len(embedders) == 1 else []
    names += [x.partition("=")[2] for x in planned.options if x.startswith(("model=", "quality="))]
    return "".join(f"-{name}" for name in names)


def chapters(planned: Sequence[Planned], runs: Runs) -> list[Chapter]:
    """The report's chapters, one for each experiment, the runs nearest to the paper's first: its
    models, then real clips. A pair whose curves stand in an earlier one is not shown again."""
    found = []
    played: set[tuple[str, str]] = set()
    for item, members in groupby(planned, lambda one: one.experiment):
        ours = list(members)
        nearest = sorted((one for one in ours if one in runs), key=_distance)
        missing = [
            f"{one.reason} (embedder {one.part.embedder}, {one.part.generator})"
            if one.part
            else one.reason
            for one in ours
            if one.why_not
        ]
        parts = []
        for one in nearest:
            run = runs[one]
            tables = {table.name: table for x in run.summary.sections for table in x.tables}
            best = best_warp(list(tables.values()))
            player = make_player(run.results.records, run.folder, tables, best)
            part = make_part(_title(one), one.options, run.summary, run.folder, player)
            if player:
                about = (run.results.records[0]["model"], player.target)
                if about in played:
                    part = replace(part, player=None)
                played.add(about)
            parts.append(part)
        judged = claims(item.number, [part.tables for part in parts])
        answers = findings(item.number, [runs[one].summary for one in nearest])
        found.append(Chapter(item, judged, answers, missing, parts))
    return found


def _distance(planned: Planned) -> tuple[bool, bool]:
    """How far a part is from what the paper ran: sorts those with its models first, then those with
    real clips."""
    assert planned.part is not None
    return not planned.part.needs, CLIPS not in planned.options


def _title(planned: Planned) -> str:
    assert planned.part is not None
    targets = [x.removeprefix("target=") for x in planned.options if x.startswith("target=")]
    target = "".join(f", target {name.replace('_', ' ')}" for name in targets)
    return f"Embedder {planned.part.embedder}; clips: {planned.part.generator}{target}"


def as_text(planned: Sequence[Planned]) -> str:
    """The plan for the terminal, at most `WIDTH` columns: under each experiment its runs, what
    measures, what makes the clips, the target; then the estimate, or why it is not run. What is
    missing is named once, at the end."""
    lines: list[str] = []
    missing: dict[str, str] = {}
    for experiment, members in groupby(planned, lambda one: one.experiment):
        lines.append(f"{experiment.number} {experiment.title}")
        for one in members:
            missing |= dict(one.absent)
            needs = " and ".join(name for name, _ in one.absent)
            text = f"needs {needs}" if needs else one.why_not
            if one.part is not None:
                text = f"{_title(one)}; {text or estimate(one.part)}"
            lines.append(f"  {'not run' if one.why_not else 'run':7}  {text}")
    lines += ["missing"] * bool(missing)
    lines += [f"  {name}: {why.removeprefix(f'{name}: ')}" for name, why in missing.items()]
    indent = " " * 11
    wrapped = (fill(x, WIDTH, subsequent_indent=indent, break_on_hyphens=False) for x in lines)
    return "\n".join(wrapped)
