"""What the synthetic benchmark says: its tables and the sentences computed from them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.harness.cells import Table
from benchmarks.harness.printing import printer
from benchmarks.harness.records import number
from benchmarks.harness.statistics import median_interval
from benchmarks.known_pacing import perceptual
from benchmarks.known_pacing.colours import colour_rows, colour_table
from benchmarks.known_pacing.errors import (
    Columns,
    PacingResults,
    Row,
    grouped,
    rank_correlation,
    why,
)
from benchmarks.known_pacing.invariance import invariance_sentence, invariance_tables
from benchmarks.known_pacing.pacing_measures import MEASURES
from benchmarks.known_pacing.solver_tables import solver_sentence, solver_tables
from benchmarks.known_pacing.studies import FAULT_FRAMES, NO_FAULT
from spf.progress import METRICS

LINEARITY = "linearity_mae"
UNRESAMPLED = ("peak_speed", "speed_cv", "pacing_entropy", "target_mae")
"""Metrics that depend on the number of frames, or on a target."""


@dataclass(frozen=True)
class Topic:
    """A question: its tables, its figures' paths, and the sentence computed from the tables."""

    title: str
    tables: list[Table]
    figures: tuple[str, ...]
    sentence: Callable[[str], str]

    def paragraphs(self, embedder: str) -> list[str]:
        """What the tables say about an embedder."""
        return [self.sentence(embedder)]


def parts(results: PacingResults, embedder: str) -> list[Topic]:
    """The parts of the page whose studies were run; every row says which embedder made it."""
    made = [
        _pacing(results),
        _colour(results),
        _leakage(results),
        _invariance(results),
        _jumps(results),
        _ladder(results),
        _faults(results),
        _growth(results),
        _floor(results),
        _solver(results),
    ]
    found = [part for part in made if part is not None]
    return [
        replace(part, tables=[_with_embedder(t, embedder) for t in part.tables]) for part in found
    ]


def _with_embedder(table: Table, embedder: str) -> Table:
    if table.name.startswith("sphere"):
        embedder = "none: made in embedding space"
    data = table.data.copy()
    data.insert(0, "embedder", embedder)
    return replace(table, data=data)


def _pacing(results: PacingResults) -> Topic | None:
    grid = results.of("grid")
    if grid.empty:
        return None
    columns: Columns = {
        "true_linearity_mae": ("true_linearity_mae", "median"),
        "linearity_mae": ("linearity_mae", "median"),
        "raw_error": ("raw_error", "median"),
        "calibrated_error": ("calibrated_error", "median"),
        "calibrated_95": ("calibrated_error", median_interval),
        "unidentified": ("unidentified", "mean"),
        "corrected_error": ("corrected_error", "median"),
        "reason": ("calibrated_reason", why),
    }
    rows = grouped(grid, ["motion", "law"], "pacing", columns)
    note = (
        "Medians over contents and seeds. raw_error, what a user gets: time average of |S - g|, "
        "measured against true progress. calibrated_error: the same after the embedder's own speed "
        "along the morph is removed, by the linearly paced, motionless clip of the same morph. "
        "unidentified: share of the time in which that clip stands still, which enters no error "
        "(mean). corrected_error: calibrated, with the noise subtracted from every distance "
        "(noise=nugget). reason: why no clip has a calibrated error."
    )
    table = Table.of_rows(
        "synthetic_pacing", "Error of the measured progress", list(rows[0]), rows, note
    )
    columns = {name: columns[name] for name in ("raw_error", "calibrated_error", "calibrated_95")}
    rows = grouped(grid, ["motion"], "pacing", columns)
    title = "Error of the measured progress, all laws together"
    whole = Table.of_rows("pacing_by_motion", title, list(rows[0]), rows)

    def sentence(embedder: str) -> str:
        text = printer(whole)
        listed = "; ".join(
            f"{text(row, 'raw_error')} and {text(row, 'calibrated_error')} with {row['motion']}"
            for row in whole.rows
        )
        still, *moved = (row["raw_error"] for row in whole.rows)
        worse = "makes the raw error worse" if max(moved) > still else "makes it no worse"
        return (
            f"With {embedder} the median distance to the true pacing, as a share of the whole "
            "change, is by motion, as a user gets it (raw_error) and with the embedder's own speed "
            "along the morph removed, which takes a clip of known pacing (calibrated_error): "
            f"{listed}. Motion {worse}."
        )

    return Topic("Does the curve follow the true pacing?", [whole, table], ("truth.png",), sentence)


def _colour(results: PacingResults) -> Topic | None:
    rows = colour_rows(results)
    if not rows:
        return None
    table = colour_table(rows)

    def sentence(embedder: str) -> str:
        text = printer(table)
        drift = "; ".join(f"{text(row, 'drift')} {row['colours']}" for row in table.rows)
        return (
            f"With {embedder} the calibrated error where hue, exposure and white balance drift "
            f"(drift) is, by the colours of the photographs: {drift}."
        )

    return Topic("Meaning or colour?", [table], (), sentence)


def _leakage(results: PacingResults) -> Topic | None:
    still = results.of("leakage")
    if still.empty:
        return None
    columns: Columns = {
        "leakage": ("leakage", "median"),
        "leakage_95": ("leakage", median_interval),
        "flagged": ("unchanged", "sum"),
    }
    rows = grouped(
        still.rename(columns={"motion": "named"}).rename(columns={"motion_kind": "motion"}),
        ["motion", "strength"],
        "leakage",
        columns,
    )
    note = (
        "leakage: total change of a clip whose meaning stands still, over that of the whole morph "
        "without motion (median over contents). flagged: clips recognised as no semantic change."
    )
    table = Table.of_rows("leakage", "Change that motion alone fakes", list(rows[0]), rows, note)

    def sentence(embedder: str) -> str:
        worst = max(rows, key=lambda row: row["leakage"])
        camera = [row for row in rows if row["motion"] == "translation"]
        text = printer(table)
        listed, most = (
            "; ".join(f"{text(x, 'leakage')} at strength {text(x, 'strength')}" for x in found)
            for found in (camera, [worst])
        )
        return (
            f"With {embedder} a camera path alone fakes this share of a morph's change: {listed}. "
            f"The worst is {worst['motion']}, {most}."
        )

    return Topic("Does motion leak into the curve?", [table], ("leakage.png",), sentence)


def _invariance(results: PacingResults) -> Topic | None:
    if not (tables := invariance_tables(results)):
        return None
    title = "Is progress invariant to motion?"
    return Topic(title, tables, ("invariance.png",), invariance_sentence(tables))


def _jumps(results: PacingResults) -> Topic | None:
    jumps = results.of("jumps")
    if jumps.empty:
        return None
    columns: Columns = {
        "error_frames": ("jump_error", "median"),
        "error_seconds": ("jump_seconds", "median"),
        "error_95": ("jump_error", median_interval),
    }
    rows = grouped(jumps, ["motion", "steepness"], "jump", columns)
    note = "Distance between the steepest measured step and the true place of the jump, medians."
    table = Table.of_rows("jumps", "Where the jump is", list(rows[0]), rows, note)

    def sentence(embedder: str) -> str:
        text = printer(table)
        worst = max(rows, key=lambda row: row["error_frames"])
        return (
            f"With {embedder} a jump is found at most {text(worst, 'error_frames')} frames from "
            f"its true place, in the median of a row ({worst['motion']}, steepness "
            f"{text(worst, 'steepness')})."
        )

    return Topic("Is the jump where it is?", [table], (), sentence)


def _ladder(results: PacingResults) -> Topic | None:
    ladder = results.of("ladder")
    if ladder.empty:
        return None
    rows, motions = measure_rows(ladder)
    note = (
        "Spearman's rank correlation with the true unevenness (time average of |g - u|) over all "
        "contents and a ladder of sigmoid jumps, by motion. 1: the measure orders clips as their "
        "true pacing does. A clip without a value counts as even."
    )
    columns = ["measure", "origin", *motions, "status", "reason"]
    table = Table.of_rows("measures", "Which measure ranks unevenness?", columns, rows, note)

    def sentence(embedder: str) -> str:
        text = printer(table)
        done = [row for row in rows if row["status"] == "done"]
        best = {motion: max(done, key=itemgetter(motion)) for motion in motions}
        listed = "; ".join(
            f"{motion}, {row['measure']} ({text(row, motion)})" for motion, row in best.items()
        )
        return (
            f"With {embedder}, the measure that ranks true unevenness best is, by motion: {listed}."
        )

    return Topic(
        "Which measure ranks unevenness?", [table], ("measures.png", "steepness.png"), sentence
    )


def measure_rows(ladder: pd.DataFrame) -> tuple[list[Row], list[str]]:
    """Rank correlation of every measure with the true unevenness by motion, and the motions."""
    motions = list(dict.fromkeys(ladder["motion"]))
    rows: list[Row] = []
    for measure, origin in MEASURES.items():
        row: Row = {"measure": measure, "origin": origin} | dict.fromkeys(motions)
        if measure not in ladder or ladder[measure].isna().all():
            row |= {"status": "not_run", "reason": f"not run: {_why_not(ladder)}"}
        else:
            row |= {"status": "done", "reason": ""}
            for motion, group in ladder.groupby("motion", sort=False):
                row[str(motion)] = rank_correlation(group, measure)
        rows.append(row)
    return rows, motions


def _why_not(ladder: pd.DataFrame) -> str:
    """Why a measure has no values: only LPIPS can lack something."""
    if "lpips_reason" in ladder and ladder["lpips_reason"].notna().any():
        return str(ladder["lpips_reason"].dropna().iloc[0])
    return perceptual.lacking() or "no clip has a value"


def _faults(results: PacingResults) -> Topic | None:
    """How often each metric of evenness calls a faulty clip less even than one without a fault."""
    faults = results.of("faults")
    if faults.empty:
        return None
    known = [name for name, metric in METRICS.items() if metric.direction != "none"]
    shown = [name for name in known if name not in UNRESAMPLED and name in faults]
    even = faults[faults["fault"] == NO_FAULT]
    rows: list[Row] = []
    for (fault, strength), clips in faults.groupby(["fault", "fault_strength"], sort=False):
        if fault != NO_FAULT:
            row: Row = {"fault": fault, "strength": strength, "clips": len(clips)}
            rows.append(row | {name: _less_even(clips, even, name) for name in shown})
    note = (
        "Share of the pairs of clips, one with the fault and one without, of whatever contents, in "
        "which the metric calls the faulty one less even: 1 tells the fault always, 0.5 is chance, "
        "less calls faulty clips more even. strength: share of the time that the clip stands still "
        "(late start; stall, in the middle; many jumps, between ten of them), share of the change "
        "that happens at once in the middle (one jump), white noise of 51 s grey levels in every "
        f"frame (flicker). {FAULT_FRAMES} frames; a clip without a value counts as even."
    )
    columns = ["fault", "strength", "clips", *shown]
    table = Table.of_rows("faults", "Which metric tells which fault?", columns, rows, note)

    def sentence(embedder: str) -> str:
        mean = table.data.groupby("fault", sort=False)[shown].mean()
        listed = "; ".join(f"{fault}, {row.idxmax()}" for fault, row in mean.iterrows())
        blind = [str(fault) for fault, row in mean.iterrows() if row[LINEARITY] < 0.6]
        lines = f"With {embedder}, the metric that tells a fault best is, by fault: {listed}."
        return f"{lines} {LINEARITY} hardly sees {', '.join(blind)}." if blind else lines

    return Topic("Which metric tells which fault?", [table], (), sentence)


def _less_even(faulty: pd.DataFrame, even: pd.DataFrame, name: str) -> float:
    """Share of the pairs (faulty, even) in which the faulty one is the less even; ties half."""
    sign = -1.0 if METRICS[name].direction == "higher" else 1.0
    one, other = (
        sign * part[name].fillna(METRICS[name].best).to_numpy() for part in (faulty, even)
    )
    return float((np.sign(one[:, None] - other) + 1).mean() / 2)


def _growth(results: PacingResults) -> Topic | None:
    growth = results.of("growth")
    if growth.empty:
        return None
    base = growth[(growth["motion"] == "none") & (growth["timing"] == "constant")]
    usual_frames, usual_height = base["frames"].mode()[0], base["height"].mode()[0]
    factors = [_factor(record, usual_frames, usual_height) for record in growth.to_dict("records")]
    growth = growth.assign(
        factor=[factor for factor, _ in factors], value=[value for _, value in factors]
    )
    columns: Columns = {
        "calibrated_error": ("calibrated_error", "median"),
        "calibrated_95": ("calibrated_error", median_interval),
        "unidentified": ("unidentified", "mean"),
        "corrected_error": ("corrected_error", "median"),
        "reason": ("calibrated_reason", why),
        "no_change": ("unchanged", "sum"),
    }
    made = grouped(growth, ["factor", "value"], "growth", columns)
    note = (
        "One factor at a time away from an ease_in_out clip without motion (first row); the errors "
        "as for the pacing laws. frames: a "
        "longer clip at the same rate or a higher rate at the same length, which give the same "
        "pictures. noise 51 s grey levels; compression H.264 at crf 23 + 60 s."
    )
    table = Table.of_rows("growth", "How the error grows", list(made[0]), made, note)

    def sentence(embedder: str) -> str:
        known = [row for row in table.rows if row["calibrated_error"] == row["calibrated_error"]]
        if not known:
            return f"With {embedder} no clip's parameter can be told from its arc length."
        text = printer(table)
        worst = max(known, key=itemgetter("calibrated_error"))
        return (
            f"With {embedder} the calibrated error of an undisturbed clip is "
            f"{text(made[0], 'calibrated_error')}; it is largest for {worst['factor']} "
            f"{worst['value']} ({text(worst, 'calibrated_error')})."
        )

    return Topic("What makes the error grow?", [table], (), sentence)


def _factor(record: dict[Any, Any], usual_frames: int, usual_height: int) -> tuple[str, str]:
    """What sets a clip of the study of growth apart from its base, and by how much."""
    if record["motion_kind"] != "none":
        return record["motion_kind"], number(record["strength"])
    if record["timing"] != "constant":
        return "timing", record["timing"]
    if record["height"] != usual_height:
        return "pixels a side", number(record["height"])
    if record["frames"] != usual_frames:
        return "frames", number(record["frames"])
    return "none", ""


def _floor(results: PacingResults) -> Topic | None:
    floor = results.of("floor")
    if floor.empty:
        return None
    columns: Columns = {
        "total_change": ("total_change", "median"),
        "noise_floor": ("noise_floor", "median"),
        "flagged": ("unchanged", "sum"),
        "flagged_corrected": ("unchanged_corrected", "sum"),
    }
    floor = floor.assign(noise=floor["strength"]).sort_values("noise", kind="stable")
    rows = grouped(floor, ["noise"], "floor", columns)
    note = (
        "Clips whose picture stands still under white noise of 51 s grey levels. flagged: "
        "recognised as no semantic change; flagged_corrected: likewise with noise=nugget."
    )
    table = Table.of_rows("noise_floor", "A static, noisy clip", list(rows[0]), rows, note)

    def sentence(embedder: str) -> str:
        text = printer(table)
        listed = "; ".join(
            f"{row['flagged']} of {row['clips']} at noise {text(row, 'noise')}" for row in rows
        )
        return (
            f"With {embedder}, static clips that are recognised as having no semantic change: "
            f"{listed}. Any others would count as evenly paced."
        )

    return Topic("Is a static clip recognised?", [table], (), sentence)


def _solver(results: PacingResults) -> Topic | None:
    """Clips made in embedding space: what the solver itself adds to the grid's error."""
    if results.of("grid").empty:
        return None
    tables = solver_tables()
    return Topic("What does the solver add?", tables, (), lambda embedder: solver_sentence(tables))
