"""What became of the paper's claims: a verdict on each, by the tables of the runs; and findings.

A verdict follows from 95% intervals that the tables hold, or from plain comparisons that the line
of the claim names. Every figure is printed as the cell of its table is.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from benchmarks.harness.cells import Summary, Table, sign
from benchmarks.harness.records import printer
from benchmarks.harness.report.players import (
    AUTHORS,
    METHOD,
    OUR_BEST,
    PLAIN,
    REFINED,
    REGENERATED,
    RESAMPLED,
    SEGMENTED,
    WORKFLOW,
    is_ours,
    kind_of,
)

HOLDS, PARTLY, FAILS = "holds", "holds in part", "does not hold"
UNCLEAR, ABSENT = "unclear", "not measured"

BY_SIGN = {-1: HOLDS, 0: UNCLEAR, 1: FAILS}
"""Verdict by the sign of a difference that should be negative."""

Row = Mapping[str, Any]
Tables = Mapping[str, Table]
Judged = tuple[str, str] | None
"""Verdict and figures; None where nothing was measured."""
Judge = TypeVar("Judge", bound=Callable[..., Judged])
LINEARITY = "linearity_mae"
BOTH = "raw_error and calibrated_error by motion"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and what the tables say. figures : clauses, each about one row. table :
    that they are read from; None where nothing was measured."""

    text: str
    verdict: str = ABSENT
    figures: str = ""
    table: Table | None = None


def claims(number: int, runs: Sequence[Tables]) -> list[Claim]:
    """What the paper claims in an experiment, judged by the tables of its runs, which come with the
    one that is nearest to the paper's first."""
    if number == 2:  # resampling alone answers nothing
        runs = sorted(runs, key=lambda one: not _regenerated(one.get("existing")))
    tables = {name: table for one in reversed(runs) for name, table in one.items()}
    if number == 7:
        return [*_targets(tables), _generators(runs)]
    found = []
    for text, names, judge in JUDGES[number]:
        needed = [tables[name] for name in names if name in tables]
        judged = judge(*needed) if len(needed) == len(names) else None
        claim = Claim(text, *judged) if judged else Claim(text)
        if any(map(str.isdigit, claim.figures)):  # else it is read from no table
            claim = replace(claim, table=needed[0])
        found.append(claim)
    return found


JUDGES: dict[int, list[tuple[str, Sequence[str], Callable[..., Judged]]]] = defaultdict(list)
"""Experiment -> its claims, the tables that each is judged by, and what judges it; those of
experiment 7 depend on its runs."""


def judges(number: int, claim: str, *tables: str) -> Callable[[Judge], Judge]:
    """Have a function judge a claim by these tables, if they are there."""

    def register(judge: Judge) -> Judge:
        JUDGES[number].append((claim, tables, judge))
        return judge

    return register


class Warps(NamedTuple):
    """The rows of a table of retiming strategies by the first of its measures, plain generation
    aside: the paper's own method with the settings of the authors' script, with those of their
    workflow, and with the former and refinement; our warp that lowers the distance most, and the
    resampling of the frames that does. None where a row is missing."""

    method: Row | None
    workflow: Row | None
    refined: Row | None
    ours: Row | None
    resampled: Row | None

    @property
    def named(self) -> list[tuple[Row, str]]:
        """The warps that claims are about, and who they are."""
        every = (
            (self.method, "the paper's method"),
            (self.workflow, "with their workflow's settings"),
            (self.ours, OUR_BEST),
        )
        return [(row, who) for row, who in every if row]


def warps(table: Table | None) -> Warps:
    """The rows that claims are about."""
    every = table.rows if table else []
    rows = [x for x in every if x["measure"] == every[0]["measure"] and x["difference"] is not None]
    by_name = {row["strategy"]: row for row in rows}

    def best(kind: Callable[[str], bool]) -> Row | None:
        found = [row for row in rows if kind(row["strategy"])]
        return min(found, key=lambda row: row["difference"], default=None)

    method, workflow, refined = (by_name.get(label) for label in (METHOD, WORKFLOW, REFINED))
    resampled = best(lambda strategy: kind_of(strategy) == RESAMPLED)
    return Warps(method, workflow, refined, best(is_ours), resampled)


def best_warp(tables: Sequence[Table]) -> str:
    """Our warp that a run's table of strategies finds best; "" where there is none."""
    table = next((x for x in tables if x.name.startswith("retiming")), None)
    ours = warps(table).ours
    return str(ours["strategy"]) if ours else ""


@judges(1, "Warped clips are paced more evenly than plain generation", "retiming")
def _moved(table: Table, metric: str = LINEARITY) -> Judged:
    """Whether the paper's own method, or else ours, brings clips nearer to their target."""
    found, text = warps(table), printer(table)
    if not found.method:
        return None
    named = [
        f"{row['strategy']}, {who}, {text(row, f'before_{metric}')} to {text(row, metric)}, "
        f"better on {row['better']}"
        for row, who in found.named
    ]
    rows = (found.method, found.workflow, found.ours)
    script, workflow, ours = (sign(row["difference_95"]) if row else 0 for row in rows)
    verdict = UNCLEAR
    if min(script, workflow) < 0:
        verdict = HOLDS
    elif ours < 0:
        verdict = PARTLY
    elif script > 0:
        verdict = FAILS
    return verdict, f"{metric}: {'; '.join(named)}"


@judges(1, "Warped clips are paced more evenly than interpolated and blended ones", "retiming")
def _against_resampling(table: Table) -> Judged:
    found, text = warps(table), printer(table)
    if not found.method:
        return None
    rows = [*found.named, (found.resampled, "the best resampling")]
    named = [f"{row['strategy']}, {who}, {text(row, LINEARITY)}" for row, who in rows if row]
    verdict = ABSENT
    if found.resampled:
        verdict = BY_SIGN[-sign(found.resampled["against_authors_95"])]
        if found.workflow and _below(found.workflow, found.resampled):
            verdict = HOLDS
        elif verdict != HOLDS and found.ours and _below(found.ours, found.resampled):
            verdict = PARTLY
    return verdict, f"{LINEARITY}: {'; '.join(named)}"


@judges(1, "Refinement makes the warp better", "retiming")
def _refined(table: Table) -> Judged:
    found, text = warps(table), printer(table)
    if not found.method or not found.refined:
        return None
    both = (found.method, found.refined)
    figures = "; ".join(f"{row['strategy']} {text(row, LINEARITY)}" for row in both)
    return BY_SIGN[sign(found.refined["against_authors_95"])], f"{LINEARITY}: {figures}"


def _below(row: Row, other: Row, column: str = LINEARITY) -> bool:
    """Whether a row's whole interval lies below another's."""
    found, against = row[f"{column}_95"], other[f"{column}_95"]
    return bool(found and against and found.high < against.low)


@judges(2, "Existing clips can be paced anew through their segments' keyframes", "existing")
def _existing(table: Table) -> Judged:
    own = _regenerated(table)
    if not own:
        return None
    text = printer(table)
    category = own[0]["category"]
    peers = [x for x in table.rows if x["category"] == category and x["target_mae"] is not None]
    shown = [x for x in peers if kind_of(x["strategy"]) == REGENERATED]
    shown.sort(key=lambda x: x["strategy"] != SEGMENTED)
    verdicts = [_nearer(row) for row in shown]
    found = verdicts[0]
    if shown[0]["strategy"] == SEGMENTED and found != HOLDS and HOLDS in verdicts:
        found = PARTLY
    resampled = [x for x in peers if kind_of(x["strategy"]) == RESAMPLED]
    shown += sorted(resampled, key=lambda x: x["target_mae"])[:1]
    figures = "; ".join(
        f"{x['strategy']} {text(x, 'before_target_mae')} to {text(x, 'target_mae')}, better on "
        f"{x['better']}"
        for x in shown
    )
    few = "" if shown[0]["target_mae_95"] else "; too few clips for an interval"
    rendered = shown[0]["before_true_target_mae"] is not None  # no other clip has a true pacing
    about = "rendered clips, not real footage, " if rendered else ""
    return found, f"{about}target_mae: {figures}{few}"


def _regenerated(table: Table | None) -> list[Row]:
    """The rows of clips that were regenerated."""
    rows = table.rows if table else []
    return [row for row in rows if kind_of(row["strategy"]) == REGENERATED and row["done"]]


def _nearer(row: Row) -> str:
    """Whether the interval of a row's distance to its target lies below the distance before."""
    interval, before = row["target_mae_95"], row["before_target_mae"]
    if interval is None:
        return UNCLEAR
    return HOLDS if interval.high < before else FAILS if interval.low > before else UNCLEAR


def _errors(table: Table, row: Row) -> str:
    text = printer(table)
    return f"{row['motion']}, {text(row, 'raw_error')} and {text(row, 'calibrated_error')}"


@judges(
    3,
    "The progress function follows the true pacing (more closely than a straight line does)",
    "pacing_by_motion",
    "synthetic_pacing",
)
def _follows_truth(table: Table, laws: Table) -> Judged:
    still = table.rows[0]
    uneven = [x for x in laws.rows if x["motion"] == still["motion"] and x["true_linearity_mae"]]
    closer = [x["raw_error"] < x["true_linearity_mae"] for x in uneven]
    verdict = HOLDS if all(closer) else PARTLY if any(closer) else FAILS
    return verdict, f"{BOTH}: {_errors(table, still)}"


@judges(3, "It does so whatever the pixels' motion", "pacing_by_motion")
def _despite_motion(table: Table) -> Judged:
    still, *moved = table.rows
    if not moved:
        return None
    worst = max(moved, key=lambda row: row["raw_error"])
    found, best = worst["calibrated_95"], still["calibrated_95"]
    verdict = UNCLEAR if not (found and best) else FAILS if found.low > best.high else HOLDS
    return verdict, f"{BOTH}: {_errors(table, still)}; {_errors(table, worst)}"


@judges(4, "SigLIP is the best embedder, against CLIP, DINOv2 and others", "ablation")
def _embedders(table: Table) -> Judged:
    rows = [row for row in table.rows if row["error_30"] is not None]
    if not rows:
        return None
    text = printer(table)
    rows.sort(key=lambda row: row["error_30"])
    ours = [row for row in rows if row["embedder"].startswith("siglip")]
    best = rows[0]
    lowest = f"error_30: lowest with {best['embedder']}, {text(best, 'error_30')}"
    if not ours:
        return ABSENT, f"Of the embedders here, {lowest}"
    if best not in ours:
        return FAILS, f"{lowest}; {ours[0]['embedder']}, {text(ours[0], 'error_30')}"
    clear = all(_below(best, row, "error_30") for row in rows if row not in ours)
    return HOLDS if clear else UNCLEAR, lowest


@judges(5, "VBench's dimensions are nearly unchanged by retiming", "vbench")
def _fidelity(table: Table) -> Judged:
    every = [x for x in table.rows if is_ours(x["strategy"]) or x["strategy"] in AUTHORS]
    own = [row for row in every if row["steered_by"] == every[0]["steered_by"]]
    scored = [row for row in own if row["difference_95"]]
    if not scored:
        return None
    text = printer(table)
    figures = "; ".join(
        f"{x['dimension']} by {x['strategy']} {text(x, 'original')} to {text(x, 'retimed')}"
        for x in scored
    )
    changed = {x["strategy"] for x in scored if sign(x["difference_95"])}
    complete = len(scored) == len(own)
    verdict = HOLDS if complete and not changed else PARTLY
    if changed == {x["strategy"] for x in scored}:
        verdict = FAILS
    rest = "" if complete else "; the other dimensions were not measured"
    return verdict, figures + rest


@judges(6, "People prefer the pacing of retimed clips", "preferences")
def _people(table: Table) -> Judged:
    plain = [row for row in table.rows if row["first"] == PLAIN and row["choices"]]
    rows = [row for row in plain if row["second"] != "wrong_map"]
    if not rows:
        return ABSENT, "Nobody has answered yet; none of the answers is simulated"
    row = next((x for x in rows if x["second"] == METHOD), rows[0])
    verdict = HOLDS if row["high_95"] < 0.5 else FAILS if row["low_95"] > 0.5 else UNCLEAR
    rate = printer(table)(row, "rate")
    return verdict, f"Plain clips were chosen before {row['second']} at a rate of {rate}"


def _targets(tables: Tables) -> list[Claim]:
    claim = "Clips can be steered to other targets"
    found = []
    for name, table in tables.items():
        judged = _moved(table, "target_mae") if name.startswith("retiming_") else None
        if judged:
            target = name.removeprefix("retiming_").replace("_", "-")
            found.append(Claim(f"{claim}: {target}", *judged, table=table))
    return found or [Claim(claim)]


def _generators(runs: Sequence[Tables]) -> Claim:
    """The unevenness of plain clips by generator; no interval is at hand, so that nothing holds."""
    claim = "Generators differ in their pacing"
    found: dict[str, tuple[Table, Row]] = {}
    for table in (t for one in runs for name, t in one.items() if name.startswith("retiming_")):
        for row in table.rows[:1]:
            found.setdefault(row["generator"], (table, row))
    if len(found) < 2:
        return Claim(claim, ABSENT, "One generator alone was run" if found else "")
    figures = "; ".join(
        f"{name} {printer(table)(row, 'before_target_mae')}" for name, (table, row) in found.items()
    )
    first = next(iter(found.values()))[0]
    return Claim(claim, UNCLEAR, f"Plain clips, before_target_mae: {figures}", first)


NOTHING = "Nothing was measured."
ANSWERS = {3: ("pacing_by_motion", "leakage"), 5: ("vbench",)}
"""Experiment -> the tables whose sections answer it; of the others the first section does."""


def findings(number: int, summaries: Sequence[Summary]) -> list[str]:
    """The first paragraphs of the sections that answer an experiment, of all its runs."""
    answers = ANSWERS.get(number)
    found = [
        part.paragraphs[0]
        for one in summaries
        for place, part in enumerate(one.sections)
        if part.paragraphs
        and (place == 0 if answers is None else any(t.name in answers for t in part.tables))
    ]
    return list(dict.fromkeys(found)) or [NOTHING]
