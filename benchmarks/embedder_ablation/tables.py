"""What the ablation says: tables and sentences, from the records of all embedders."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from operator import itemgetter

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.harness.cells import Section, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.measuring import read_curve
from benchmarks.harness.records import DONE, FAILED, NOT_RUN, Record, printer
from benchmarks.harness.statistics import median_interval
from benchmarks.harness.store import timings_of
from benchmarks.known_pacing.errors import PacingResults, Row, table_of
from benchmarks.known_pacing.studies import COLOURS, NUISANCES
from benchmarks.known_pacing.tables import colour_rows, colour_table
from spf.embedders import label
from spf.measurement import CORRECTED
from spf.progress.metrics import NO_CHANGE
from synthetic.clips import COLOUR_KEEPING

LEVELS = {"0": 0.0, "10": 0.1, "30": 0.3}
"""Strengths of a camera path by what columns call them."""

NOTE = (
    "Medians over the clips, 1 is the whole change. error: calibrated error of the pacing without "
    "motion, with a camera path of 10% and of 30% of the frame. same_colours: the three of them on "
    "contents that keep their colours. leakage: change that a camera path of 10% and 30% fakes, as "
    "a share of the morph's. unidentified: share of the time in which the embedder stands still "
    "along the morph, which enters no error (mean). shift: largest change of linearity_mae by "
    "H.264 at crf 35, 20% more or less light, and Gaussian noise of 1% (worst content, then the "
    "median over contents)."
)
AGREEMENT_NOTE = (
    "pace: Spearman's rank correlation of the steps of the two curves of a clip, median over the "
    "clips. order: that of linearity_mae over the clips."
)
SPEED_NOTE = (
    "Frames a second of rendering (or decoding), preparing and embedding together, with as many "
    "workers beside it as the run had. It differs from run to run and enters no other table."
)

MEANING = (
    "Where a control is best, colours, edges and where they are give the pace away: a low error "
    "there does not show that an embedder sees meaning. Contents that change their colours favour "
    "those that count colours; matched colours under drifting light favour those that see through "
    "the light. Only an embedder that is good at both may be trusted with clips of either kind."
)


def sections(
    names: Sequence[str], studies: Sequence[str], records: list[Record], folder: RunFolder
) -> list[Section]:
    """The page's sections for the embedders of these names."""
    by_name = {name: [r for r in records if r["embedder"] == name] for name in names}
    done = [record for record in records if record["status"] == DONE]
    rendered = [record for record in done if record["source"] == "rendered"]
    results = {
        name: PacingResults.read([r for r in rendered if r["embedder"] == name], folder)
        for name in dict.fromkeys(record["embedder"] for record in rendered)
    }
    found = []
    if more := bool(set(studies) - {"colour"}):
        rows = [_row(name, own, results.get(name)) for name, own in by_name.items()]
        table = table_of("ablation", "Embedders", rows, NOTE)
        found.append(Section("Which embedder follows the meaning?", [sentence(table)], [table]))
    if "colour" in studies:
        rows = [row for name, own in by_name.items() for row in _colours(name, own, results)]
        table = colour_table(rows, ("embedder", "status"))
        lines = [*colour_sentences(table), MEANING]
        found.append(Section("Meaning or colour?", lines, [table]))
    speeds = [_speed_row(name, own, folder) for name, own in by_name.items()]
    found[0].tables.append(table_of("speed", "Speed", speeds, SPEED_NOTE, timed=True))
    real = [record for record in done if record["source"] != "rendered"]
    agreement = agreement_rows("rendered", rendered if more else [], folder)
    if agreement := agreement + agreement_rows("real", real, folder):
        table = table_of("agreement", "Agreement", agreement, AGREEMENT_NOTE)
        found.append(Section("Do embedders agree?", [], [table]))
    return found


def sentence(table: Table) -> str:
    """What the ablation says: the order of the embedders that were measured on all clips, and
    whether SigLIP is where the paper has it."""
    text = printer(table)
    done = [row for row in table.rows if row["status"] == DONE and row["failed"] == 0]
    done = [row for row in done if np.isfinite([row["error_30"], row["leakage_30"]]).all()]
    absent = [row["embedder"] for row in table.rows if row["status"] == NOT_RUN]
    not_run = f" Not run: {', '.join(absent)}." if absent else ""
    if not done:
        return f"No embedder was measured on all clips.{not_run}"
    order = sorted(done, key=lambda row: row["error_30"])
    listed = "; ".join(f"{row['embedder']} {text(row, 'error_30')}" for row in order)
    least = min(done, key=lambda row: row["leakage_30"])
    verdict = "SigLIP was not measured, so the paper's order could not be tested"
    if any(row["embedder"].startswith("siglip") for row in order):
        best = order[0]["embedder"].startswith("siglip")
        verdict = f"SigLIP is {'best, as' if best else 'not best, unlike'} in the paper"
    return (
        f"The calibrated error under a strong camera path (error_30) is, best first: {listed}. "
        f"Motion fakes the least change with {least['embedder']} (leakage_30 "
        f"{text(least, 'leakage_30')}). {verdict}.{not_run}"
    )


def _row(name: str, own: list[Record], results: PacingResults | None) -> Row:
    row: Row = {"embedder": label(name), "status": own[0]["status"], "reason": own[0]["reason"]}
    failed = sum(record["status"] == FAILED for record in own)
    if results is None:
        return row | {"clips": 0, "failed": failed}
    row |= {"status": DONE, "reason": "", "clips": len(results.table), "failed": failed}
    grid, leakage = results.of("grid"), results.of("leakage")
    camera = leakage[leakage["motion_kind"] == "translation"].groupby("strength")["leakage"]
    own_path = grid[grid["schedule"] == "own"]
    same = own_path[own_path["content"].isin(COLOUR_KEEPING)]
    for column, clips in (("error", own_path), ("same_colours", same)):
        errors = clips.groupby("strength")["calibrated_error"].median()
        row |= {f"{column}_{x}": errors.get(strength) for x, strength in LEVELS.items()}
    leaks = camera.median()
    row |= {f"leakage_{x}": leaks.get(LEVELS[x]) for x in list(LEVELS)[1:]}
    strongest = own_path[own_path["strength"] == LEVELS["30"]]["calibrated_error"]
    shifts = robustness(results.of("robustness"))
    row |= {
        "error_30_95": median_interval(strongest, f"ablation {name}"),
        "unidentified": grid["unidentified"].mean(),
        "shift_worst": shifts.max(),
        "shift": shifts.median(),
        "weights": str(results.table["weights_hash"].iloc[0]).partition(":")[0][:12],
    }
    for column in CORRECTED:
        if column in grid:
            row |= {x: grid[x].median() for x in ("linearity_mae", column)}
    return row


def _colours(name: str, own: list[Record], results: Mapping[str, PacingResults]) -> list[Row]:
    """Which contents favour an embedder; a row that says why where it measured none."""
    found = colour_rows(results[name]) if name in results else []
    absent = {"status": own[0]["status"], "reason": own[0]["reason"]}
    return [{"embedder": label(name), "status": DONE} | row for row in found or [absent]]


def colour_sentences(table: Table) -> list[str]:
    """Of a table of several embedders: their order where colours lie and where they do not, and
    who is best in each column."""
    text = printer(table)

    def order(colours: str, nuisance: str) -> list[Row]:
        known = [row for row in table.rows if row["colours"] == colours and row["status"] == DONE]
        known = [row for row in known if row[nuisance] == row[nuisance]]  # not NaN
        return sorted(known, key=itemgetter(nuisance))

    def listed(colours: str, nuisance: str) -> str:
        rows = order(colours, nuisance)
        return "; ".join(f"{row['embedder']} {text(row, nuisance)}" for row in rows)

    best: dict[bool, list[str]] = {False: [], True: []}
    for colours, nuisance in product(COLOURS, NUISANCES):
        for row in order(colours, nuisance)[:1]:
            name = row["embedder"]
            best["(control)" in name].append(f"{colours}, {nuisance} ({name})")
    if not any(best.values()):
        return ["No embedder has an error that could be stated."]
    return [
        "The calibrated error of photographs whose colours are matched, where hue, exposure and "
        f"white balance drift (drift), is, best first: {listed('matched', 'drift')}.",
        "Where their colours are unmatched, under a camera path (camera), it is, best first: "
        f"{listed('unmatched', 'camera')}.",
        f"A control is best in: {'; '.join(best[True]) or 'no column'}. "
        f"Another embedder is best in: {'; '.join(best[False]) or 'no column'}.",
    ]


def robustness(table: pd.DataFrame) -> pd.Series:
    """Largest change of linearity_mae among the disturbances of each content's clip."""
    asis = (table["motion"] == "none") & (table["exposure"] == 1.0)
    plain, disturbed = table[asis].set_index("content")["linearity_mae"], table[~asis]
    shifts = (disturbed["linearity_mae"] - disturbed["content"].map(plain)).abs()
    return shifts.groupby(disturbed["content"]).max()


def agreement_rows(source: str, records: list[Record], folder: RunFolder) -> list[Row]:
    """A row for each pair of embedders that measured clips in common."""
    measured: dict[str, dict[str, tuple[np.ndarray, float]]] = {}
    for record in records:
        if record["reason"] != NO_CHANGE:
            steps = np.diff(read_curve(folder, record)["fitted"].to_numpy())
            clip = f"{record['model']}/{record['clip']}"
            measured.setdefault(record["embedder"], {})[clip] = steps, record["linearity_mae"]
    rows: list[Row] = []
    for first, second in combinations(measured, 2):
        shared = [clip for clip in measured[first] if clip in measured[second]]
        if len(shared) < 3:
            continue
        one, other = ([measured[name][clip] for clip in shared] for name in (first, second))
        paces = [stats.spearmanr(a, b).statistic for (a, _), (b, _) in zip(one, other, strict=True)]
        order = stats.spearmanr([x for _, x in one], [x for _, x in other]).statistic
        row: Row = {"clips": source, "first": label(first), "second": label(second)}
        row |= {"count": len(shared), "pace": float(np.nanmedian(paces)), "order": float(order)}
        rows.append(row)
    return rows


def _speed_row(name: str, own: list[Record], folder: RunFolder) -> Row:
    frames = seconds = 0.0
    for record in own:
        taken = timings_of(folder, record["cell"])
        if record["status"] == DONE and not taken.get("from_cache"):
            frames += record["frames"]
            seconds += taken.get("embed", 0.0)
    speed = frames / seconds if seconds else None
    return {"embedder": label(name), "frames_per_second": speed, "status": own[0]["status"]}
