"""The study of colour: which embedder follows the change where colours do not give it away."""

from collections.abc import Sequence
from operator import itemgetter

from benchmarks.harness.cells import Table
from benchmarks.harness.records import DONE, printer
from benchmarks.harness.statistics import median_interval
from benchmarks.known_pacing.errors import PacingResults, Row, why
from benchmarks.known_pacing.studies import COLOUR_FRAMES, COLOURS, NUISANCES

COLUMNS = ("colours", "clips", *NUISANCES, "drift_95", "unidentified", "stated", "reason")

NOTE = (
    "Median calibrated error, 1 is the whole change, of photographs that turn into one another in "
    "their own colours (unmatched), and in matched ones: both photographs, and every mix of them, "
    "have the colours half way between the two. none: the morph alone; camera: a camera path of "
    "10% of the frame; drift: hue, exposure and white balance drift by 15%; background: what is "
    "around the middle of the image becomes another photograph by 60%. unidentified: share of "
    "the time in which the embedder stands still along the morph, so that no curve of its can show "
    f"the pace; stated: clips that have an error for all that. {COLOUR_FRAMES} frames."
)

MEANING = (
    "Where a control is best, colours, edges and where they are give the pace away: a low error "
    "there does not show that an embedder sees meaning. Contents that change their colours favour "
    "those that count colours; matched colours under drifting light favour those that see through "
    "the light. Only an embedder that is good at both may be trusted with clips of either kind."
)


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
    return Table.of_rows("colours", "Meaning or colour?", [*first, *COLUMNS], rows, NOTE)


def colour_sentences(table: Table) -> list[str]:
    """Of a table of several embedders: their order where colours lie and where they do not, and
    who is best in each column."""
    text = printer(table)

    def order(colours: str, nuisance: str) -> list[Row]:
        known = [row for row in table.rows if row["colours"] == colours and row["status"] == DONE]
        known = [row for row in known if row[nuisance] == row[nuisance]]  # not NaN
        return sorted(known, key=itemgetter(nuisance))

    def listed(colours: str, nuisance: str) -> str:
        return "; ".join(
            f"{row['embedder']} {text(row, nuisance)}" for row in order(colours, nuisance)
        )

    best: dict[bool, list[str]] = {False: [], True: []}
    for colours in COLOURS:
        for nuisance in NUISANCES:
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
