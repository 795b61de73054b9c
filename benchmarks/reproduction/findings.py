"""One plain sentence for each experiment, computed from its tables: it turns when a sign does."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from benchmarks.retiming.strategies import STEERED, kind_of
from benchmarks.running.cells import Summary, Table
from benchmarks.running.records import DONE
from benchmarks.scoring.quality import sentence

Row = Mapping[str, Any]
NOTHING = "Nothing was measured."


def finding(number: int, summaries: Sequence[Summary]) -> str:
    """What the runs of an experiment say. One that has no sentence of its own here says what its
    benchmark says first."""
    tables = [table for one in summaries for part in one.sections for table in part.tables]
    own = {1: retiming, 3: pacing, 4: ablation, 5: fidelity, 7: retiming}.get(number)
    if own is not None:
        return own(tables)
    said = [line for one in summaries for part in one.sections[:1] for line in part.paragraphs[:1]]
    return " ".join(said) or NOTHING


def retiming(tables: Iterable[Table]) -> str:
    """Experiments 1 and 7: does the best warp bring the pacing nearer to the target?"""
    said = [_retimed(table) for table in tables if table.name.startswith("retiming")]
    return " ".join(filter(None, said)) or NOTHING


def _retimed(table: Table) -> str:
    aim = next(name for name in ("linearity_mae", "target_mae") if name in table.columns)
    goal = "an even pace"
    if aim == "target_mae":
        goal = f"the target {table.name.removeprefix('retiming_').replace('_', ' ')}"
    rows = [row for row in table.rows if row["difference"] is not None]
    rows = [row for row in rows if kind_of(row["strategy"]) == STEERED]
    if not rows:
        return ""
    measure = rows[0]["measure"]  # the run's embedder comes first
    best = min((row for row in rows if row["measure"] == measure), key=lambda r: r["difference"])
    before, after = best[f"before_{aim}"], best[aim]
    clips = f"the clips of {best['generator'].partition(' ')[0]}"
    change = f"{before:.3f} to {after:.3f} in the median, better on {best['better']}"
    if best["difference"] < 0:
        verdict = f"Warping ({best['strategy']}) brings {clips} nearer to {goal}"
        text = f"{verdict}, measured with {measure}: their distance falls from {change}"
    else:
        verdict = f"Warping does not bring {clips} nearer to {goal}"
        text = f"{verdict}, measured with {measure}: with {best['strategy']} it goes from {change}"
    true_before, true = best.get(f"before_true_{aim}"), best.get(f"true_{aim}")
    if true is None or true_before is None:
        return text + "."
    way = "falls" if true < true_before else "does not fall"
    return f"{text}. By the renderer's own parameter it {way}: {true_before:.3f} to {true:.3f}."


def pacing(tables: Sequence[Table]) -> str:
    """Experiment 3: how far from the truth, and does motion that means nothing matter?"""
    said = []
    for table in (table for table in tables if table.name == "synthetic_pacing"):
        by_motion: dict[str, list[float]] = {}
        for row in table.rows:
            if row["calibrated_error"] == row["calibrated_error"]:  # NaN: none could be stated
                by_motion.setdefault(row["motion"], []).append(row["calibrated_error"])
        if not by_motion:
            continue
        still = _median(by_motion.pop("none", []))
        moved = {name: _median(values) for name, values in by_motion.items()}
        embedder = table.rows[0]["embedder"]
        text = f"With {embedder} the measured progress is {still:.1%} of the whole change away from"
        text += " the true pacing without motion"
        if moved:
            worst = max(moved, key=lambda name: moved[name])
            more = moved[worst] - still
            verb = "motion makes that worse" if more > 0 else "motion makes that no worse"
            text += f"; {verb}: {moved[worst]:.1%} under {worst.replace('-', ' ')} motion"
        said.append(text + ".")
    said.extend(_leaks([table for table in tables if table.name == "leakage"]))
    return " ".join(said) or NOTHING


def _leaks(tables: Sequence[Table]) -> list[str]:
    """The strongest camera path alone, by embedder: the first against the others."""
    leaks = {}
    for table in tables:
        camera = [row for row in table.rows if row["motion"] == "translation"]
        if camera:
            leaks[camera[-1]["embedder"]] = max(camera, key=lambda row: row["strength"])["leakage"]
    if len(leaks) < 2:
        return []
    (first, own), *others = leaks.items()
    name, other = others[0]
    verb = "less" if own < other else "no less"
    return [
        f"A strong camera path alone fakes {own:.0%} of a morph's change with {first}, {verb} than "
        f"with {name} ({other:.0%})."
    ]


def ablation(tables: Sequence[Table]) -> str:
    """Experiment 4: which embedder follows the pacing best under motion and where colours lie, and
    was SigLIP there?"""
    orders = {
        "Under strong camera motion": _order(tables, "ablation", "error_30"),
        "With matched colours under drifting light": _order(tables, "colours", "drift", "matched"),
    }
    said, verdicts = [], []
    for where, order in orders.items():
        if order:
            listed = ", ".join(f"{name} ({error:.3f})" for name, error in order)
            said.append(f"{where} the order is, best first: {listed}.")
            places = [place for place, one in enumerate(order) if one[0].startswith("siglip")]
            verdicts += ["best, as" if place == 0 else "not best, unlike" for place in places]
    if not said:
        return NOTHING
    if not verdicts:
        said.append("SigLIP was not run, so the paper's order could not be tested.")
    said += [f"SigLIP is {verdict} in the paper." for verdict in dict.fromkeys(verdicts)]
    return " ".join(said)


def _order(
    tables: Sequence[Table], name: str, column: str, colours: str = ""
) -> list[tuple[str, float]]:
    """Embedders and their errors in a column, best first."""
    rows = [row for table in tables if table.name == name for row in table.rows]
    rows = [row for row in rows if row["status"] == DONE and row.get("colours", "") == colours]
    known = [(row["embedder"], row[column]) for row in rows if np.isfinite(row[column] or np.nan)]
    return sorted(known, key=itemgetter(1))


def fidelity(tables: Iterable[Table]) -> str:
    """Experiment 5: do VBench's scores of the retimed clips differ from the originals'?"""
    return " ".join(sentence(table) for table in tables if table.name == "vbench") or NOTHING


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
