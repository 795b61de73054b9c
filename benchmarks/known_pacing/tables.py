"""What the synthetic benchmark shows: its tables and the sentences computed from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import pandas as pd

from benchmarks.harness.cells import Section, Table
from benchmarks.harness.records import number, printer
from benchmarks.harness.statistics import median_interval, superiority
from benchmarks.known_pacing import perceptual
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
from benchmarks.known_pacing.solver_tables import solver_sentence, solver_tables
from benchmarks.known_pacing.studies import COLOUR_FRAMES, FAULT_FRAMES, NO_FAULT, NUISANCES
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


MEASURES = {
    "linearity_mae": "ours",
    "linearity_max": "ours",
    "speed_cv_64": "ours",
    "pacing_entropy_64": "ours",
    "peak_speed_64": "ours",
    "pdv": "DiffMorpher's perceptual distance variance, with the embedder's distance",
    "consecutive_mae": "linearity of the running sum of consecutive embedding distances",
    "pixel_mae": "linearity of the running sum of consecutive pixel differences",
    "pdv_lpips": "DiffMorpher's perceptual distance variance, with LPIPS",
}
"""Where each comes from; `pacing_entropy_64` counts with its sign turned."""

COLOUR_COLUMNS = ("colours", "clips", *NUISANCES, "drift_95", "unidentified", "stated", "reason")
COLOUR_NOTE = (
    "Median calibrated error, 1 is the whole change, of photographs that turn into one another in "
    "their own colours (unmatched), and in matched ones: both photographs, and every mix of them, "
    "have the colours half way between the two. none: the morph alone; camera: a camera path of "
    "10% of the frame; drift: hue, exposure and white balance drift by 15%; background: what is "
    "around the middle of the image becomes another photograph by 60%. unidentified: share of "
    "the time in which the embedder stands still along the morph, so that no curve of its can show "
    f"the pace; stated: clips that have an error for all that. {COLOUR_FRAMES} frames."
)


def sections(results: PacingResults, embedder: str) -> dict[str, Section]:
    """The parts of the page whose studies were run, by study and `SOLVER`; every row names the
    embedder that made it."""

    def named(table: Table) -> Table:
        maker = "none: made in embedding space" if table.name.startswith("sphere") else embedder
        data = table.data.copy()
        data.insert(0, "embedder", maker)
        return replace(table, data=data)

    made = {
        study: answer(results, embedder)
        for study, answer in ANSWERS.items()
        if not results.of("grid" if study == SOLVER else study).empty
    }
    return {
        study: replace(part, tables=[named(table) for table in part.tables])
        for study, part in made.items()
    }


def _pacing(results: PacingResults, embedder: str) -> Section:
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
    text = printer(whole)
    listed = "; ".join(
        f"{text(row, 'raw_error')} and {text(row, 'calibrated_error')} with {row['motion']}"
        for row in whole.rows
    )
    still, *moved = (row["raw_error"] for row in whole.rows)
    worse = "makes the raw error worse" if max(moved) > still else "makes it no worse"
    sentence = (
        f"With {embedder} the median distance to the true pacing, as a share of the whole "
        "change, is by motion, as a user gets it (raw_error) and with the embedder's own speed "
        "along the morph removed, which takes a clip of known pacing (calibrated_error): "
        f"{listed}. Motion {worse}."
    )
    return Section("Does the curve follow the true pacing?", [sentence], [whole, table])


def colour_rows(results: PacingResults) -> list[Row]:
    """A row for own and for matched colours; none where the study was not run."""
    table = results.of("colour")
    rows: list[Row] = []
    for colours, group in table.groupby("colours", sort=False) if len(table) else ():
        row: Row = {"colours": colours, "clips": len(group)}
        for nuisance, clips in group.groupby("nuisance", sort=False):
            row[str(nuisance)] = clips["calibrated_error"].median()
            if nuisance == "drift":
                row["drift_95"] = median_interval(clips["calibrated_error"], f"colour {colours}")
        row["unidentified"] = group["unidentified"].mean()
        row["stated"] = int(group["calibrated_error"].notna().sum())
        row["reason"] = why(group["calibrated_reason"], "")
        rows.append(row)
    return rows


def colour_table(rows: Sequence[Row], first: Sequence[str] = ()) -> Table:
    """The table of rows; `first` are columns before the study's own."""
    return Table.of_rows(
        "colours", "Meaning or colour?", [*first, *COLOUR_COLUMNS], rows, COLOUR_NOTE
    )


def _colour(results: PacingResults, embedder: str) -> Section:
    table = colour_table(colour_rows(results))
    text = printer(table)
    drift = "; ".join(f"{text(row, 'drift')} {row['colours']}" for row in table.rows)
    sentence = (
        f"With {embedder} the calibrated error where hue, exposure and white balance drift "
        f"(drift) is, by the colours of the photographs: {drift}."
    )
    return Section("Meaning or colour?", [sentence], [table])


def _leakage(results: PacingResults, embedder: str) -> Section:
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
    worst = max(rows, key=itemgetter("leakage"))
    camera = [row for row in rows if row["motion"] == "translation"]
    text = printer(table)
    listed, most = (
        "; ".join(f"{text(x, 'leakage')} at strength {text(x, 'strength')}" for x in found)
        for found in (camera, [worst])
    )
    sentence = (
        f"With {embedder} a camera path alone fakes this share of a morph's change: {listed}. "
        f"The worst is {worst['motion']}, {most}."
    )
    return Section("Does motion leak into the curve?", [sentence], [table])


def _invariance(results: PacingResults, embedder: str) -> Section:
    tables = invariance_tables(results)
    sentence = invariance_sentence(tables, embedder)
    return Section("Is progress invariant to motion?", [sentence], tables)


def _jumps(results: PacingResults, embedder: str) -> Section:
    columns: Columns = {
        "error_frames": ("jump_error", "median"),
        "error_seconds": ("jump_seconds", "median"),
        "error_95": ("jump_error", median_interval),
    }
    rows = grouped(results.of("jumps"), ["motion", "steepness"], "jump", columns)
    note = "Distance between the steepest measured step and the true place of the jump, medians."
    table = table_of("jumps", "Where the jump is", rows, note)
    text = printer(table)
    worst = max(rows, key=itemgetter("error_frames"))
    sentence = (
        f"With {embedder} a jump is found at most {text(worst, 'error_frames')} frames from "
        f"its true place, in the median of a row ({worst['motion']}, steepness "
        f"{text(worst, 'steepness')})."
    )
    return Section("Is the jump where it is?", [sentence], [table])


def _ladder(results: PacingResults, embedder: str) -> Section:
    rows, motions = measure_rows(results.of("ladder"))
    note = (
        "Spearman's rank correlation with the true unevenness (time average of |g - u|) over all "
        "contents and a ladder of sigmoid jumps, by motion. 1: the measure orders clips as their "
        "true pacing does. A clip without a value counts as even."
    )
    title = "Which measure ranks unevenness?"
    table = table_of("measures", title, rows, note)
    text = printer(table)
    done = [row for row in rows if row["status"] == "done"]
    best = {motion: max(done, key=itemgetter(motion)) for motion in motions}
    listed = "; ".join(
        f"{motion}, {row['measure']} ({text(row, motion)})" for motion, row in best.items()
    )
    sentence = (
        f"With {embedder}, the measure that ranks true unevenness best is, by motion: {listed}."
    )
    return Section(title, [sentence], [table])


def measure_rows(ladder: pd.DataFrame) -> tuple[list[Row], list[str]]:
    """Rank correlation of every measure with the true unevenness by motion, and the motions."""
    motions = list(dict.fromkeys(ladder["motion"]))
    rows: list[Row] = []
    # Only LPIPS can lack something.
    reasons = ladder["lpips_reason"].dropna().tolist() if "lpips_reason" in ladder else []
    absent = reasons[0] if reasons else perceptual.missing_weights()
    for measure, origin in MEASURES.items():
        row: Row = {"measure": measure, "origin": origin} | dict.fromkeys(motions)
        if measure not in ladder or ladder[measure].isna().all():
            row |= {"status": "not_run", "reason": f"not run: {absent or 'no clip has a value'}"}
        else:
            row |= {"status": "done", "reason": ""}
            for motion, group in ladder.groupby("motion", sort=False):
                row[str(motion)] = rank_correlation(group, measure)
        rows.append(row)
    return rows, motions


def _faults(results: PacingResults, embedder: str) -> Section:
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
    sentence = "No faulty clip was measured."
    if rows:
        mean = table.data.groupby("fault", sort=False)[shown].mean()
        listed = "; ".join(f"{fault}, {row.idxmax()}" for fault, row in mean.iterrows())
        blind = [str(fault) for fault, row in mean.iterrows() if row[LINEARITY] < 0.6]
        sentence = f"With {embedder}, the metric that detects a fault best is, by fault: {listed}."
        if blind:
            sentence += f" {LINEARITY} hardly sees {', '.join(blind)}."
    return Section(title, [sentence], [table])


def _less_even(faulty: pd.DataFrame, even: pd.DataFrame, name: str) -> float:
    """Share of the pairs (faulty, even) in which the faulty one is the less even; ties half."""
    sign = -1.0 if METRICS[name].direction == "higher" else 1.0
    one, other = (
        sign * part[name].fillna(METRICS[name].best).to_numpy() for part in (faulty, even)
    )
    return superiority(other - one[:, None])


def _growth(results: PacingResults, embedder: str) -> Section:
    growth = results.of("growth").copy()
    base = growth[(growth["motion"] == "none") & (growth["timing"] == "constant")]
    usual = {name: base[name].mode()[0] for name in ("frames", "height")}
    factors = [_factor(record, usual) for record in growth.to_dict("records")]
    growth[["factor", "value"]] = pd.DataFrame(factors, index=growth.index)
    columns: Columns = {**ERRORS, "no_change": ("unchanged", "sum")}
    rows = grouped(growth, ["factor", "value"], "growth", columns)
    note = (
        "One factor at a time away from an ease_in_out clip without motion (first row); the errors "
        "as for the pacing laws. frames: a "
        "longer clip at the same rate or a higher rate at the same length, which give the same "
        "images. noise 51 s grey levels; compression H.264 at crf 23 + 60 s."
    )
    table = table_of("growth", "How the error grows", rows, note)
    known = [row for row in table.rows if row["calibrated_error"] == row["calibrated_error"]]
    sentence = f"With {embedder} no clip's parameter can be read off its arc length."
    if known:
        text = printer(table)
        worst = max(known, key=itemgetter("calibrated_error"))
        sentence = (
            f"With {embedder} the calibrated error of an undisturbed clip is "
            f"{text(rows[0], 'calibrated_error')}; it is largest for {worst['factor']} "
            f"{worst['value']} ({text(worst, 'calibrated_error')})."
        )
    return Section("What makes the error grow?", [sentence], [table])


def _factor(record: Mapping[Any, Any], usual: dict[str, int]) -> tuple[str, str]:
    """What sets a clip of the study of growth apart from its base, and by how much."""
    if record["motion_kind"] != "none":
        return record["motion_kind"], number(record["strength"])
    if record["timing"] != "constant":
        return "timing", record["timing"]
    for name, factor in (("height", "pixels a side"), ("frames", "frames")):
        if record[name] != usual[name]:
            return factor, number(record[name])
    return "none", ""


def _floor(results: PacingResults, embedder: str) -> Section:
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
    text = printer(table)
    listed = "; ".join(
        f"{row['flagged']} of {row['clips']} at noise {text(row, 'noise')}" for row in rows
    )
    sentence = (
        f"With {embedder}, static clips that are recognised as having no semantic change: "
        f"{listed}. Any others would count as evenly paced."
    )
    return Section("Is a static clip recognised?", [sentence], [table])


def _solver(results: PacingResults, embedder: str) -> Section:
    """Clips made in embedding space: what the solver itself adds to the grid's error."""
    tables = solver_tables()
    return Section("What does the solver add?", [solver_sentence(tables)], tables)


SOLVER = "solver"

ANSWERS: dict[str, Callable[[PacingResults, str], Section]] = {
    "grid": _pacing,
    "colour": _colour,
    "leakage": _leakage,
    "invariance": _invariance,
    "jumps": _jumps,
    "ladder": _ladder,
    "faults": _faults,
    "growth": _growth,
    "floor": _floor,
    SOLVER: _solver,
}
"""The studies, and what their clips show, in the order of the page; the solver is the grid's."""
