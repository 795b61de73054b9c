"""The study of invariance: what motion that means nothing does, with and without `nuisance=`."""

import pandas as pd

from benchmarks.harness.cells import Table
from benchmarks.harness.records import printer
from benchmarks.known_pacing.errors import (
    Columns,
    PacingResults,
    Row,
    calibrated,
    grouped,
    rank_correlation,
    table_of,
)
from benchmarks.known_pacing.studies import INVARIANT_TO, JUMPS

NOTE = (
    "Clips whose meaning stands still, medians over contents. leakage: total change over that of "
    "the whole morph without motion; leakage_corrected: both with "
    f"nuisance={INVARIANT_TO}. motion_share: share of the change that this takes out. flagged: "
    "clips that are called mostly motion; flagged_explained: those called without semantic "
    "change, as nothing else is left."
)
LADDER_NOTE = (
    "Sigmoid jumps of four steepnesses, plain and corrected. spearman: rank correlation of "
    "linearity_mae with the true unevenness over all contents (a clip without a value counts as "
    "even). raw_error, calibrated_error: medians, as for the pacing laws. error_frames: median "
    f"distance from the true place of the jumps of steepness {' and '.join(map(str, JUMPS))}."
)
REMAINING_NOTE = (
    "remaining: total change that is left by the correction, as a share of the plain one, median; "
    "motion_share and flags as above. Of a zoom that is the meaning (a still image, four times "
    "nearer at the end) vectors alone cannot show that the camera was meant: it has to be flagged."
)


def invariance_tables(results: PacingResults) -> list[Table]:
    """Leakage, the ladder, and what is left of each kind of clip."""
    clips = _with_references(results)
    moved = clips[clips["still"] & (clips["motion_kind"] != "none")]
    leakage: Columns = {
        "leakage": ("leakage", "median"),
        "leakage_corrected": ("leakage_corrected", "median"),
        **SHARES,
    }
    named = moved.assign(motion=moved["motion_kind"])
    rows = grouped(named, ["motion", "strength"], "invariance", leakage)
    left: Columns = {"remaining": ("remaining", "median"), **SHARES}
    scenes = clips["still"].map({True: "still scene, ", False: "morph, "})
    moving = clips["motion_kind"].map(lambda kind: "no motion" if kind == "none" else "in motion")
    groups = (scenes + moving).mask(clips["zoomed"].astype(bool), "zoom that is the meaning")
    remaining = grouped(clips.assign(group=groups), ["group"], "remaining", left)
    ladder = clips[clips["steepness"].notna() & (clips["motion_kind"] != "shake")]
    return [
        table_of("invariance", "Change that motion alone fakes", rows, NOTE),
        table_of("invariance_ladder", "Unevenness under motion", _ladder(ladder), LADDER_NOTE),
        table_of("invariance_remaining", "What the correction leaves", remaining, REMAINING_NOTE),
    ]


SHARES: Columns = {
    "motion_share": ("motion_share", "median"),
    "flagged": ("mostly_motion", "sum"),
    "flagged_explained": ("explained", "sum"),
}


def _with_references(results: PacingResults) -> pd.DataFrame:
    """The clips with what needs the corrected curve of the linearly paced, motionless morph."""
    clips = results.of("invariance")
    by_name = clips.set_index("clip")
    changing = by_name["changes_corrected"].to_dict()
    second = [
        calibrated(record, results.curves, changing, "progress_corrected").error
        for record in clips.to_dict("records")
    ]
    change = clips["total_change_corrected"]
    return clips.assign(
        calibrated_error_corrected=second,
        leakage_corrected=change / clips["reference"].map(by_name["total_change_corrected"]),
        remaining=change / clips["total_change"],
        mostly_motion=clips["mostly_motion"].astype(int),
        explained=clips["explained"].astype(int),
    )


def _ladder(ladder: pd.DataFrame) -> list[Row]:
    rows = []
    ends = ("", "_corrected")
    for motion, clips in ladder.groupby("motion", sort=False):
        jumps = clips[clips["steepness"].isin(JUMPS)]
        row: Row = {"motion": motion, "clips": len(clips)}
        row |= {f"spearman{end}": rank_correlation(clips, f"linearity_mae{end}") for end in ends}
        for name in ("raw_error", "calibrated_error"):
            row |= {name + end: clips[name + end].median() for end in ends}
        row |= {f"error_frames{end}": jumps[f"jump_error{end}"].median() for end in ends}
        rows.append(row)
    return rows


def invariance_sentence(tables: list[Table], embedder: str) -> str:
    """What the tables say of an embedder."""
    leakage, ladder, remaining = tables
    pan = [row for row in leakage.rows if row["motion"] == "translation"]
    text = printer(remaining)
    left = "; ".join(
        f"{text(row, 'remaining')}, {row['flagged']} and {row['flagged_explained']} of "
        f"{row['clips']} ({row['group']})"
        for row in remaining.rows
    )
    return (
        f"With {embedder} a still scene shows this share of a morph's change, plain and with "
        f"nuisance={INVARIANT_TO}: {_both(leakage, pan, 'leakage')}. "
        "The rank correlation of the measured with the true unevenness is, likewise: "
        f"{_both(ladder, ladder.rows, 'spearman')}. "
        "The median distance to the true pacing (raw_error) is, likewise: "
        f"{_both(ladder, ladder.rows, 'raw_error')}. "
        "The share of the change that the correction leaves, and how many clips it flags as "
        f"mostly motion and as without semantic change, is: {left}."
    )


def _both(table: Table, rows: list[Row], column: str) -> str:
    """A column plain and corrected, for each row's motion."""
    text = printer(table)
    listed = []
    for row in rows:
        both = (text(row, name) or "no value" for name in (column, f"{column}_corrected"))
        strength = f" of {text(row, 'strength')}" if "strength" in row else ""
        listed.append(f"{' and '.join(both)} with {row['motion']}{strength}")
    return "; ".join(listed)
