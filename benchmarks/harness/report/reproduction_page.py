"""The report of `make reproduce-paper`: the paper's claims, and what came of each, on one page."""

import io
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.records import Record, printer
from benchmarks.harness.report.page import (
    anchors,
    data_url,
    disclaimers,
    environment,
    provenance_of,
)
from benchmarks.harness.report.players import METHOD, PLAIN, Player, webp
from benchmarks.harness.report.tables import NARROW, PAPER, main_columns, ordered_columns
from benchmarks.harness.reproduction.claims import LINEARITY, Claim, warps
from benchmarks.paper import ADDRESS, CITATION, REPORTED, Experiment

FIGURES = 8
"""Of a section: the others are on the run's own page."""

OPEN_ROWS = 20
"""Rows of a table that is not folded, at most."""

PAIRWISE = ("pairs/", "films/")
"""Folders of images and films that show what a player shows."""


@dataclass(frozen=True)
class ReportPart:
    """A run in a report. command : that makes it. player : its pairs; None where it has none, or
    they stand elsewhere. more : images and films that are on its own page alone."""

    title: str
    headline: str
    command: str
    sections: list[Section]
    folder: RunFolder
    player: Player | None = None
    more: int = 0

    @property
    def page(self) -> str:
        """Its own page, below the output folder."""
        return f"runs/{self.folder.root.name}/index.html"

    @property
    def tables(self) -> dict[str, Table]:
        """Its tables by name."""
        return {table.name: table for part in self.sections for table in part.tables}

    @property
    def key(self) -> Table | None:
        """The table that answers the experiment: the first, where it is short."""
        first = next((table for part in self.sections for table in part.tables), None)
        return first if first is not None and len(first.rows) <= OPEN_ROWS else None

    def image(self, path: str) -> str:
        """The `src` of an image or film of the run: images in a smaller format."""
        data = self.folder.read(path)
        if path.endswith(".mp4"):
            return data_url("video/mp4", data)
        return webp(Image.open(io.BytesIO(data)).convert("RGB"), 88)


@dataclass(frozen=True)
class Chapter:
    """An experiment with our verdicts on its claims, what its runs say, and its runs. missing : why
    runs of it were not made."""

    about: Experiment
    claims: list[Claim]
    findings: list[str]
    missing: list[str]
    parts: list[ReportPart]


def make_part(
    title: str, options: Sequence[str], summary: Summary, folder: RunFolder, player: Player | None
) -> ReportPart:
    """A run as a report shows it: its first figures, and the paper's column in its first table."""
    made = []
    more = 0
    for section in summary.sections:
        figures = [x for x in section.figures if not (player and x.path.startswith(PAIRWISE))]
        more += max(0, len(figures) - FIGURES)
        if figures or section.tables or (section.paragraphs and not section.figures):
            made.append(replace(section, figures=figures[:FIGURES]))
    if made and made[0].tables:
        first, *others = made[0].tables
        made[0] = replace(made[0], tables=[with_paper(first), *others])
    command = shlex.join(["python", "run.py", *options])
    return ReportPart(title, summary.headline, command, made, folder, player, more)


def with_paper(table: Table) -> Table:
    """The table with a column that says what the paper reports of a row, blank where unknown."""
    known = REPORTED.get(table.name, {})
    data = table.data.copy()
    names = [str(value) for value in data.iloc[:, 0]]
    named = [known.get(name) or known.get(name.partition(" ")[0], "") for name in names]
    data.insert(1, PAPER, named)
    return replace(table, data=data)


def make_lead(chapters: Sequence[Chapter]) -> dict[str, Any] | None:
    """What the report opens with: the claim that warped clips are paced more evenly, the numbers of
    the run whose table decides it, and its pairs; None where there is no such run."""
    for chapter in (chapter for chapter in chapters if chapter.claims):
        claim = chapter.claims[0]
        for part in chapter.parts:
            table = part.tables.get("retiming")
            found = warps(table)
            if table is None or table is not claim.table or not found.method:
                continue
            text, row = printer(table), found.method
            bars = [{"strategy": PLAIN, "name": "Plain", "better": ""}]
            bars[0]["value"] = text(row, f"before_{LINEARITY}")
            bars[0]["true"] = text(row, f"before_true_{LINEARITY}")
            for one, who in found.named:
                bar = {"strategy": one["strategy"], "name": who[0].upper() + who[1:]}
                bar |= {"value": text(one, LINEARITY), "true": text(one, f"true_{LINEARITY}")}
                bars.append(bar | {"better": text(one, "better")})
            facts = {"pairs": text(row, "pairs")} | {x: row[x] for x in ("generator", "measure")}
            return facts | {"claim": claim, "bars": bars, "player": part.player, "table": table}
    return None


def explained() -> Callable[[Table, str], tuple[str, list[str]]]:
    """Function: a table and its id -> the sentences of its note that the page has not printed yet,
    and ids of the tables below which the others stand."""
    places: dict[str, str] = {}

    def note(table: Table, anchor: str) -> tuple[str, list[str]]:
        sentences = re.split(r"(?<=\.)\s+", table.note) if table.note else []
        new = [line for line in sentences if line not in places]
        elsewhere = dict.fromkeys(places[line] for line in sentences if line in places)
        places.update(dict.fromkeys(new, anchor))
        return " ".join(new), [place for place in elsewhere if place != anchor]

    return note


def render_report(
    profile: str, chapters: Sequence[Chapter], not_run: Table, records: list[Record]
) -> str:
    """HTML of a whole reproduction. not_run : what was left out, and why."""
    lead = make_lead(chapters)
    shown = {line for chapter in chapters if chapter.parts for line in chapter.findings}
    players = [part.player for chapter in chapters for part in chapter.parts if part.player]
    template = environment().get_template("report.html.j2")
    return template.render(
        anchor=anchors(),
        note=explained(),
        main=main_columns,
        every=ordered_columns,
        narrow=NARROW,
        counted=counted,
        further=lambda section: [line for line in section.paragraphs if line not in shown],
        number_of=lambda player: 1 + next(n for n, x in enumerate(players) if x is player),
        title="Semantic Progress Function: reproduction",
        profile=profile,
        lead=lead,
        chapters=chapters,
        not_run=not_run,
        players=players,
        method=METHOD,
        open_rows=OPEN_ROWS,
        disclaimers=disclaimers(records),
        provenance=provenance_of(records),
        citation=CITATION,
        address=ADDRESS,
    )


def counted(part: ReportPart) -> str:
    """How much is folded up in a part."""
    tables = sum(len(section.tables) for section in part.sections) - (part.key is not None)
    images = sum(len(section.figures) for section in part.sections)
    found = {"table": tables, "image": images}
    counts = [f"{count} {name}{'s' * (count > 1)}" for name, count in found.items() if count]
    return f": {', '.join(counts)}" if counts else ""
