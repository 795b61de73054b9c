"""The study of colour: which embedder follows the change where colours do not give it away."""

from collections.abc import Sequence
from operator import itemgetter

from benchmarks.running.cells import Table
from benchmarks.scoring.statistics import median_interval
from benchmarks.truth.errors import Results, Row, why
from benchmarks.truth.studies import COLOUR_FRAMES, NUISANCES

COLUMNS = ("colours", "clips", *NUISANCES, "drift_95", "unidentified", "stated", "reason")

NOTE = (
    "Median calibrated error, 1 is the whole change, of photographs that turn into one another in "
    "their own colours, and in matched ones: both photographs, and every mix of them, have the "
    "colours half way between the two. none: the morph alone; camera: a camera path of 10% of the "
    "frame; drift: hue, exposure and white balance drift by 15%; background: what is around the "
    "middle of the picture becomes another photograph by 60%. unidentified: share of the time in "
    "which the embedder stands still along the morph, so that no curve of its can tell the pace; "
    f"stated: clips that have an error for all that. {COLOUR_FRAMES} frames."
)

MEANING = (
    "Where a control is best, colours, edges and where they are give the pace away: a low error "
    "there does not show that an embedder sees meaning. Contents that change their colours favour "
    "those that count colours; matched colours under drifting light favour those that see through "
    "the light. Only an embedder that is good at both may be trusted with clips of either kind."
)


def colour_rows(results: Results) -> list[Row]:
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


def colour_sentence(rows: Sequence[Row]) -> str:
    """The best embedder of each column, and where a control is it; from rows with an embedder."""
    found, won = [], 0
    for colours in dict.fromkeys(row["colours"] for row in rows if row["colours"]):
        best = []
        for nuisance in NUISANCES:
            known = [r for r in rows if r["colours"] == colours and r[nuisance] == r[nuisance]]
            if known:
                row = min(known, key=itemgetter(nuisance))
                best.append(f"{nuisance} {row['embedder']} ({row[nuisance]:.3f})")
                won += "(control)" in row["embedder"]
        found.append(f"{colours} colours: {', '.join(best)}")
    return f"Followed best, {'; '.join(found)}. A control is best in {won} of these."
