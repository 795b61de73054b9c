"""What the synthetic benchmark shows: its tables and the sentences computed from them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import pandas as pd

from benchmarks.harness.cells import Table
from benchmarks.harness.records import number, printer
from benchmarks.harness.statistics import median_interval, superiority
from benchmarks.known_pacing import perceptual
from benchmarks.known_pacing.colours import colour_rows, colour_table
from benchmarks.known_pacing.errors import (
    Columns,
    PacingResults,
    Row,
    grouped,
    rank_correlation,
    table_of,
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

ERRORS: Columns = {
    "calibrated_error": ("calibrated_error", "median"),
    "calibrated_95": ("calibrated_error", median_interval),
    "unidentified": ("unidentified", "mean"),
    "corrected_error": ("corrected_error", "median"),
    "reason": ("calibrated_reason", why),
}


@dataclass(frozen=True)
class Topic:
    """A question: its tables, its figures' paths, and a sentence about an embedder."""

    title: str
    tables: list[Table]
    figures: tuple[str, ...]
    sentence: Callable[[str], str]


def parts(results: PacingResults, embedder: str) -> list[Topic]:
    """The parts of the page whose studies were run; every row names the embedder that made it."""

    def named(table: Table) -> Table:
        maker = "none: made in embedding space" if table.name.startswith("sphere") else embedder
        data = table.data.copy()
        data.insert(0, "embedder", maker)
        return replace(table, data=data)

    made = [topic(results) for study, topic in TOPICS if not results.of(study).empty]
    return [replace(part, tables=[named(t) for t in part.tables]) for part in made]


def _pacing(results: PacingResults) -> Topic:
    grid = results.of("grid")
    raw: Columns = {"raw_error": ("raw_error", "median")}
    medians: Columns = {k: (k, "median") for k in ("true_linearity_mae", "linearity_mae")}
    columns: Columns = {**medians, **raw, **ERRORS}
    note = (
        "Medians over contents and seeds. raw_error, what a user gets: time average of |S - g|, "
        "measured against true progress. calibrated_error: the same after the embedder's own speed "
        "along the morph is removed, by the linearly paced, motionless clip of the same morph. "
        "unidentified: share of the time in which that clip stands still, which enters no error "
        "(mean). corrected_error: calibrated, with the noise subtracted from every distance "
        "(noise=nugget). reason: why no clip has a calibrated error."
    )
    rows = grouped(grid, ["motion", "law"], "pacing", columns)
    table = table_of("synthetic_pacing", "Error of the measured progress", rows, note)
    columns = {**raw, **{name: ERRORS[name] for name in ("calibrated_error", "calibrated_95")}}
    rows = grouped(grid, ["motion"], "pacing", columns)
    title = "Error of the measured progress, all laws together"
    whole = table_of("pacing_by_motion", title, rows)

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


def _colour(results: PacingResults) -> Topic:
    table = colour_table(colour_rows(results))

    def sentence(embedder: str) -> str:
        text = printer(table)
        drift = "; ".join(f"{text(row, 'drift')} {row['colours']}" for row in table.rows)
        return (
            f"With {embedder} the calibrated error where hue, exposure and white balance drift "
            f"(drift) is, by the colours of the photographs: {drift}."
        )

    return Topic("Meaning or colour?", [table], (), sentence)


def _leakage(results: PacingResults) -> Topic:
    still = results.of("leakage")
    columns: Columns = {
        "leakage": ("leakage", "median"),
        "leakage_95": ("leakage", median_interval),
        "flagged": ("unchanged", "sum"),
    }
    still = still.assign(motion=still["motion_kind"])
    rows = grouped(still, ["motion", "strength"], "leakage", columns)
    note = (
        "leakage: total change of a clip whose meaning stands still, over that of the whole morph "
        "without motion (median over contents). flagged: clips recognised as no semantic change."
    )
    table = table_of("leakage", "Change that motion alone fakes", rows, note)

    def sentence(embedder: str) -> str:
        worst = max(rows, key=itemgetter("leakage"))
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


def _invariance(results: PacingResults) -> Topic:
    tables = invariance_tables(results)
    title = "Is progress invariant to motion?"
    return Topic(title, tables, ("invariance.png",), invariance_sentence(tables))


def _jumps(results: PacingResults) -> Topic:
    columns: Columns = {
        "error_frames": ("jump_error", "median"),
        "error_seconds": ("jump_seconds", "median"),
        "error_95": ("jump_error", median_interval),
    }
    rows = grouped(results.of("jumps"), ["motion", "steepness"], "jump", columns)
    note = "Distance between the steepest measured step and the true place of the jump, medians."
    table = table_of("jumps", "Where the jump is", rows, note)

    def sentence(embedder: str) -> str:
        text = printer(table)
        worst = max(rows, key=itemgetter("error_frames"))
        return (
            f"With {embedder} a jump is found at most {text(worst, 'error_frames')} frames from "
            f"its true place, in the median of a row ({worst['motion']}, steepness "
            f"{text(worst, 'steepness')})."
        )

    return Topic("Is the jump where it is?", [table], (), sentence)


def _ladder(results: PacingResults) -> Topic:
    rows, motions = measure_rows(results.of("ladder"))
    note = (
        "Spearman's rank correlation with the true unevenness (time average of |g - u|) over all "
        "contents and a ladder of sigmoid jumps, by motion. 1: the measure orders clips as their "
        "true pacing does. A clip without a value counts as even."
    )
    title = "Which measure ranks unevenness?"
    table = table_of("measures", title, rows, note)

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

    return Topic(title, [table], ("measures.png", "steepness.png"), sentence)


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
    return perceptual.missing_weights() or "no clip has a value"


def _faults(results: PacingResults) -> Topic:
    """How often each metric of evenness calls a faulty clip less even than one without a fault."""
    faults = results.of("faults")
    known = [name for name, metric in METRICS.items() if metric.direction != "none"]
    shown = [name for name in known if name not in UNRESAMPLED and name in faults]
    even = faults[faults["fault"] == NO_FAULT]
    rows: list[Row] = [
        {"fault": fault, "strength": strength, "clips": len(clips)}
        | {name: _less_even(clips, even, name) for name in shown}
        for (fault, strength), clips in faults.groupby(["fault", "fault_strength"], sort=False)
        if fault != NO_FAULT
    ]
    note = (
        "Share of the pairs of clips, one with the fault and one without, of whatever contents, in "
        "which the metric calls the faulty one less even: 1 always detects the fault, 0.5 is "
        "chance, less calls faulty clips more even. strength: share of the time without change "
        "(late start; stall, in the middle; many jumps, between ten of them), share of the change "
        "that happens at once in the middle (one jump), white noise of 51 s grey levels in every "
        f"frame (flicker). {FAULT_FRAMES} frames; a clip without a value counts as even."
    )
    title = "Which metric detects which fault?"
    columns = ["fault", "strength", "clips", *shown]
    table = Table.of_rows("faults", title, columns, rows, note)

    def sentence(embedder: str) -> str:
        if not rows:
            return "No faulty clip was measured."
        mean = table.data.groupby("fault", sort=False)[shown].mean()
        listed = "; ".join(f"{fault}, {row.idxmax()}" for fault, row in mean.iterrows())
        blind = [str(fault) for fault, row in mean.iterrows() if row[LINEARITY] < 0.6]
        lines = f"With {embedder}, the metric that detects a fault best is, by fault: {listed}."
        return f"{lines} {LINEARITY} hardly sees {', '.join(blind)}." if blind else lines

    return Topic(title, [table], (), sentence)


def _less_even(faulty: pd.DataFrame, even: pd.DataFrame, name: str) -> float:
    """Share of the pairs (faulty, even) in which the faulty one is the less even; ties half."""
    sign = -1.0 if METRICS[name].direction == "higher" else 1.0
    one, other = (
        sign * part[name].fillna(METRICS[name].best).to_numpy() for part in (faulty, even)
    )
    return superiority(other - one[:, None])


def _growth(results: PacingResults) -> Topic:
    growth = results.of("growth").copy()
    base = growth[(growth["motion"] == "none") & (growth["timing"] == "constant")]
    usual = {name: base[name].mode()[0] for name in ("frames", "height")}
    growth[["factor", "value"]] = [_factor(record, usual) for record in growth.to_dict("records")]
    columns: Columns = {**ERRORS, "no_change": ("unchanged", "sum")}
    rows = grouped(growth, ["factor", "value"], "growth", columns)
    note = (
        "One factor at a time away from an ease_in_out clip without motion (first row); the errors "
        "as for the pacing laws. frames: a "
        "longer clip at the same rate or a higher rate at the same length, which give the same "
        "images. noise 51 s grey levels; compression H.264 at crf 23 + 60 s."
    )
    table = table_of("growth", "How the error grows", rows, note)

    def sentence(embedder: str) -> str:
        known = [row for row in table.rows if row["calibrated_error"] == row["calibrated_error"]]
        if not known:
            return f"With {embedder} no clip's parameter can be read off its arc length."
        text = printer(table)
        worst = max(known, key=itemgetter("calibrated_error"))
        return (
            f"With {embedder} the calibrated error of an undisturbed clip is "
            f"{text(rows[0], 'calibrated_error')}; it is largest for {worst['factor']} "
            f"{worst['value']} ({text(worst, 'calibrated_error')})."
        )

    return Topic("What makes the error grow?", [table], (), sentence)


def _factor(record: dict[Any, Any], usual: dict[str, int]) -> tuple[str, str]:
    """What sets a clip of the study of growth apart from its base, and by how much."""
    if record["motion_kind"] != "none":
        return record["motion_kind"], number(record["strength"])
    if record["timing"] != "constant":
        return "timing", record["timing"]
    for name, factor in (("height", "pixels a side"), ("frames", "frames")):
        if record[name] != usual[name]:
            return factor, number(record[name])
    return "none", ""


def _floor(results: PacingResults) -> Topic:
    columns: Columns = {
        "total_change": ("total_change", "median"),
        "noise_floor": ("noise_floor", "median"),
        "flagged": ("unchanged", "sum"),
        "flagged_corrected": ("unchanged_corrected", "sum"),
    }
    floor = results.of("floor")
    floor = floor.assign(noise=floor["strength"]).sort_values("noise", kind="stable")
    rows = grouped(floor, ["noise"], "floor", columns)
    note = (
        "Clips whose image stands still under white noise of 51 s grey levels. flagged: "
        "recognised as no semantic change; flagged_corrected: likewise with noise=nugget."
    )
    table = table_of("noise_floor", "A static, noisy clip", rows, note)

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


def _solver(results: PacingResults) -> Topic:
    """Clips made in embedding space: what the solver itself adds to the grid's error."""
    tables = solver_tables()
    return Topic("What does the solver add?", tables, (), lambda embedder: solver_sentence(tables))


TOPICS: tuple[tuple[str, Callable[[PacingResults], Topic]], ...] = (
    ("grid", _pacing),
    ("colour", _colour),
    ("leakage", _leakage),
    ("invariance", _invariance),
    ("jumps", _jumps),
    ("ladder", _ladder),
    ("faults", _faults),
    ("growth", _growth),
    ("floor", _floor),
    ("grid", _solver),
)
"""The studies, and what their clips show, in the order of the page."""
