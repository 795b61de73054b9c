"""What became of the paper's claims: a verdict on each, by the tables of the runs; and findings.

A verdict follows from 95% intervals that the tables hold, or from plain comparisons that the line
of the claim names. Every figure is printed as the cell of its table is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchmarks.harness.cells import Summary, Table, sign
from benchmarks.harness.printing import printer
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

Row = Mapping[str, Any]
Tables = Mapping[str, Table]
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
        runs = sorted(runs, key=lambda one: not _remade(one.get("existing")))
    tables = {name: table for one in reversed(runs) for name, table in one.items()}
    found = list(JUDGES[number](tables)) if number in JUDGES else []
    return [*found, *_generators(runs)] if number == 7 else found


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
    return Warps(method, workflow, refined, best(is_ours), best(_resampled))


def _resampled(strategy: str) -> bool:
    return kind_of(strategy) == RESAMPLED


def _generated(tables: Tables) -> Iterator[Claim]:
    table = tables.get("retiming")
    found = warps(table)
    texts = (
        "Warped clips are paced more evenly than plain generation",
        "Warped clips are paced more evenly than interpolated and blended ones",
        "Refinement makes the warp better",
    )
    if table is None or not found.method:
        yield from map(Claim, texts)
        return
    text = printer(table)
    yield _moved(texts[0], table, LINEARITY)

    named = [
        f"{row['strategy']}, {who}, {text(row, LINEARITY)}"
        for row, who in [*found.named, (found.resampled, "the best resampling")]
        if row
    ]
    verdict = ABSENT
    if found.resampled:
        verdict = {1: HOLDS, 0: UNCLEAR, -1: FAILS}[sign(found.resampled["against_authors_95"])]
        if found.workflow and _below(found.workflow, found.resampled):
            verdict = HOLDS
        elif verdict != HOLDS and found.ours and _below(found.ours, found.resampled):
            verdict = PARTLY
    yield Claim(texts[1], verdict, f"{LINEARITY}: {'; '.join(named)}", table)

    if not found.refined:
        yield Claim(texts[2])
        return
    verdict = {-1: HOLDS, 0: UNCLEAR, 1: FAILS}[sign(found.refined["against_authors_95"])]
    both = (found.method, found.refined)
    figures = "; ".join(f"{row['strategy']} {text(row, LINEARITY)}" for row in both)
    yield Claim(texts[2], verdict, f"{LINEARITY}: {figures}", table)


def _moved(claim: str, table: Table, metric: str) -> Claim:
    """Whether the paper's own method, or else ours, brings clips nearer to their target."""
    text = printer(table)
    found = warps(table)
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
    return Claim(claim, verdict, f"{metric}: {'; '.join(named)}", table)


def _existing(tables: Tables) -> Iterator[Claim]:
    claim = "Existing clips can be paced anew through their segments' keyframes"
    table = tables.get("existing")
    own = _remade(table)
    if table is None or not own:
        yield Claim(claim)
        return
    text = printer(table)
    category = own[0]["category"]
    peers = [x for x in table.rows if x["category"] == category and x["target_mae"] is not None]
    resampled = [x for x in peers if _resampled(x["strategy"])]
    shown = sorted(filter(_regenerated, peers), key=lambda x: x["strategy"] != SEGMENTED)
    verdicts = [_nearer(row) for row in shown]
    found = verdicts[0]
    if shown[0]["strategy"] == SEGMENTED and found != HOLDS and HOLDS in verdicts:
        found = PARTLY
    shown += sorted(resampled, key=lambda x: x["target_mae"])[:1]
    figures = "; ".join(
        f"{x['strategy']} {text(x, 'before_target_mae')} to {text(x, 'target_mae')}, better on "
        f"{x['better']}"
        for x in shown
    )
    few = "" if shown[0]["target_mae_95"] else "; too few clips for an interval"
    rendered = shown[0]["before_true_target_mae"] is not None  # no other clip has a true pacing
    about = "rendered clips, not real footage, " if rendered else ""
    yield Claim(claim, found, f"{about}target_mae: {figures}{few}", table)


def _remade(table: Table | None) -> list[Row]:
    """The rows of clips that were regenerated."""
    return [row for row in table.rows if _regenerated(row) and row["done"]] if table else []


def _regenerated(row: Row) -> bool:
    return kind_of(row["strategy"]) == REGENERATED


def _nearer(row: Row) -> str:
    """Whether the interval of a row's distance to its target lies below the distance before."""
    interval, before = row["target_mae_95"], row["before_target_mae"]
    if interval is None:
        return UNCLEAR
    return HOLDS if interval.high < before else FAILS if interval.low > before else UNCLEAR


def _known(tables: Tables) -> Iterator[Claim]:
    texts = (
        "The progress function follows the true pacing (more closely than a straight line does)",
        "It does so whatever the pixels' motion",
    )
    table, laws = tables.get("pacing_by_motion"), tables.get("synthetic_pacing")
    if table is None or laws is None:
        yield from map(Claim, texts)
        return
    text = printer(table)
    still, *moved = table.rows
    uneven = [x for x in laws.rows if x["motion"] == still["motion"] and x["true_linearity_mae"]]
    closer = [x["raw_error"] < x["true_linearity_mae"] for x in uneven]

    def figures(row: Row) -> str:
        return f"{row['motion']}, {text(row, 'raw_error')} and {text(row, 'calibrated_error')}"

    verdict = HOLDS if all(closer) else PARTLY if any(closer) else FAILS
    yield Claim(texts[0], verdict, f"{BOTH}: {figures(still)}", table)
    if not moved:
        yield Claim(texts[1])
        return
    worst = max(moved, key=lambda row: row["raw_error"])
    found, best = worst["calibrated_95"], still["calibrated_95"]
    verdict = UNCLEAR if not (found and best) else FAILS if found.low > best.high else HOLDS
    yield Claim(texts[1], verdict, f"{BOTH}: {figures(still)}; {figures(worst)}", table)


def _embedders(tables: Tables) -> Iterator[Claim]:
    claim = "SigLIP is the best embedder, against CLIP, DINOv2 and others"
    table = tables.get("ablation")
    rows = [x for x in table.rows if x["error_30"] is not None] if table else []
    if table is None or not rows:
        yield Claim(claim)
        return
    text = printer(table)
    rows.sort(key=lambda row: row["error_30"])
    ours = [row for row in rows if row["embedder"].startswith("siglip")]
    best = rows[0]
    lowest = f"error_30: lowest with {best['embedder']}, {text(best, 'error_30')}"
    if not ours:
        yield Claim(claim, ABSENT, f"Of the embedders here, {lowest}", table)
        return
    others = [row for row in rows if row not in ours]
    verdict = FAILS if best not in ours else UNCLEAR
    if best in ours and all(_below(best, row, "error_30") for row in others):
        verdict = HOLDS
    more = f"; {ours[0]['embedder']}, {text(ours[0], 'error_30')}" if best not in ours else ""
    yield Claim(claim, verdict, lowest + more, table)


def _fidelity(tables: Tables) -> Iterator[Claim]:
    claim = "VBench's dimensions are nearly unchanged by retiming"
    table = tables.get("vbench")
    rows = table.rows if table else []
    every = [x for x in rows if is_ours(x["strategy"]) or x["strategy"] in AUTHORS]
    own = [row for row in every if row["steered_by"] == every[0]["steered_by"]]
    scored = [row for row in own if row["difference_95"]]
    if table is None or not scored:
        yield Claim(claim)
        return
    text = printer(table)
    figures = "; ".join(
        f"{x['dimension']} by {x['strategy']} {text(x, 'original')} to {text(x, 'retimed')}"
        for x in scored
    )
    unchanged = {
        name: all(sign(x["difference_95"]) == 0 for x in scored if x["strategy"] == name)
        for name in {row["strategy"] for row in scored}
    }
    complete = len(scored) == len(own)
    verdict = HOLDS if complete and all(unchanged.values()) else PARTLY
    if not any(unchanged.values()):
        verdict = FAILS
    rest = "" if complete else "; the other dimensions were not measured"
    yield Claim(claim, verdict, figures + rest, table)


def _people(tables: Tables) -> Iterator[Claim]:
    claim = "People prefer the pacing of retimed clips"
    table = tables.get("preferences")
    rows = [
        row
        for row in (table.rows if table else [])
        if row["first"] == PLAIN and row["choices"] and row["second"] != "wrong_map"
    ]
    if table is None or not rows:
        yield Claim(claim, ABSENT, "Nobody has answered yet; none of the answers is simulated")
        return
    text = printer(table)
    row = next((x for x in rows if x["second"] == METHOD), rows[0])
    verdict = HOLDS if row["high_95"] < 0.5 else FAILS if row["low_95"] > 0.5 else UNCLEAR
    rate = f"Plain clips were chosen before {row['second']} at a rate of {text(row, 'rate')}"
    yield Claim(claim, verdict, rate, table)


def _targets(tables: Tables) -> Iterator[Claim]:
    claim = "Clips can be steered to other targets"
    found = {x: t for x, t in tables.items() if x.startswith("retiming_") and warps(t).method}
    for name, table in found.items():
        target = name.removeprefix("retiming_").replace("_", "-")
        yield _moved(f"{claim}: {target}", table, "target_mae")
    if not found:
        yield Claim(claim)


def _generators(runs: Sequence[Tables]) -> Iterator[Claim]:
    """The unevenness of plain clips by generator; no interval is at hand, so that nothing holds."""
    claim = "Generators differ in their pacing"
    found: dict[str, tuple[Table, Row]] = {}
    for table in (t for one in runs for name, t in one.items() if name.startswith("retiming_")):
        for row in table.rows[:1]:
            found.setdefault(row["generator"], (table, row))
    if len(found) < 2:
        yield Claim(claim, ABSENT, "One generator alone was run" if found else "")
        return
    figures = "; ".join(
        f"{name} {printer(table)(row, 'before_target_mae')}" for name, (table, row) in found.items()
    )
    first = next(iter(found.values()))[0]
    yield Claim(claim, UNCLEAR, f"Plain clips, before_target_mae: {figures}", first)


JUDGES: Mapping[int, Callable[[Tables], Iterator[Claim]]] = dict(
    enumerate((_generated, _existing, _known, _embedders, _fidelity, _people, _targets), start=1)
)


def _below(row: Row, other: Row, column: str = LINEARITY) -> bool:
    """Whether a row's whole interval lies below another's."""
    found, against = row[f"{column}_95"], other[f"{column}_95"]
    return bool(found and against and found.high < against.low)


def best_warp(tables: Sequence[Table]) -> str:
    """Our warp that a run's table of strategies finds best; "" where there is none."""
    table = next((x for x in tables if x.name.startswith("retiming")), None)
    ours = warps(table).ours
    return str(ours["strategy"]) if ours else ""


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
