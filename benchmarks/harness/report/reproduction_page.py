"""The report of `make reproduce-paper`: the paper's claims, and what came of each, on one page."""

import io
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.printing import printer
from benchmarks.harness.records import Record
from benchmarks.harness.report.columns import NARROW, main_columns, ordered_columns
from benchmarks.harness.report.page import (
    PAPER,
    anchors,
    data_url,
    disclaimers,
    environment,
    provenance_of,
)
from benchmarks.harness.report.players import METHOD, PLAIN, Player, path_of, webp
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
    """A run in a report. command : that makes it. page : its own page, below the output folder.
    player : its pairs; None where it has none, or they stand elsewhere. more : images and films
    that are on its own page alone."""

    title: str
    headline: str
    command: str
    sections: list[Section]
    image: Callable[[str], str]
    page: str
    player: Player | None = None
    more: int = 0

    @property
    def tables(self) -> dict[str, Table]:
        """Its tables by name."""
        return {table.name: table for part in self.sections for table in part.tables}

    @property
    def key(self) -> Table | None:
        """The table that answers the experiment: the first, where it is short."""
        first = next((table for part in self.sections for table in part.tables), None)
        return first if first is not None and len(first.rows) <= OPEN_ROWS else None


@dataclass(frozen=True)
class Chapter:
    """An experiment: what the paper claims, with our verdicts, what its runs say, and its runs.
    missing : why runs of it were not made."""

    number: int
    title: str
    claim: str
    claims: list[Claim]
    findings: list[str]
    missing: list[str]
    parts: list[ReportPart]


@dataclass(frozen=True)
class Bar:
    """A number of the first figure: a strategy's distance to even pacing over all pairs, measured
    and by the renderer's parameter ("" where unknown), and on how many pairs it is better."""

    strategy: str
    name: str
    value: str
    true: str = ""
    better: str = ""


@dataclass(frozen=True)
class Lead:
    """What the report opens with: the paper's claim, its numbers, a pair of the run."""

    claim: Claim
    measure: str
    generator: str
    pairs: str
    bars: list[Bar]
    player: Player | None
    table: Table


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
    page = f"runs/{folder.root.name}/index.html"
    return ReportPart(
        title, summary.headline, command, made, lean_source(folder), page, player, more
    )


def with_paper(table: Table) -> Table:
    """The table with a column that says what the paper reports of a row, blank where unknown."""
    known = REPORTED.get(table.name, {})
    data = table.data.copy()
    names = [str(value) for value in data.iloc[:, 0]]
    named = [known.get(name) or known.get(name.partition(" ")[0], "") for name in names]
    data.insert(1, PAPER, named)
    return replace(table, data=data)


def lean_source(folder: RunFolder) -> Callable[[str], str]:
    """Function: path of an image or film of a run -> its `src`, images in a smaller format."""

    def source(path: str) -> str:
        data = folder.read(path)
        if path.endswith(".mp4"):
            return data_url("video/mp4", data)
        return webp(Image.open(io.BytesIO(data)).convert("RGB"), 88)

    return source


def make_chapter(
    item: Experiment,
    claims: list[Claim],
    findings: list[str],
    missing: list[str],
    parts: list[ReportPart],
) -> Chapter:
    """An experiment with its runs; without any, the finding is why."""
    found = findings if parts else [f"Not run: {missing[0].removeprefix('not run: ')}."]
    return Chapter(item.number, item.title, item.claim, claims, found, missing, parts)


def make_lead(chapters: Sequence[Chapter]) -> Lead | None:
    """The first figure: the claim that warped clips are paced more evenly, by the run whose
    table decides it; None where there is none."""
    for chapter in (chapter for chapter in chapters if chapter.claims):
        claim = chapter.claims[0]
        for part in chapter.parts:
            table = part.tables.get("retiming")
            found = warps(table)
            if table is None or table is not claim.table or not found.method:
                continue
            text = printer(table)
            row = found.method
            before, true = f"before_{LINEARITY}", f"true_{LINEARITY}"
            bars = [Bar(PLAIN, "Plain", text(row, before), text(row, f"before_{true}"))]
            for one, who in found.named:
                values = (text(one, name) for name in (LINEARITY, true, "better"))
                bars.append(Bar(one["strategy"], who[0].upper() + who[1:], *values))
            pairs, generator = text(row, "pairs"), row["generator"]
            return Lead(claim, row["measure"], generator, pairs, bars, part.player, table)
    return None


@dataclass
class Explained:
    """What a page has explained: each sentence of a note is printed once, and linked to after."""

    places: dict[str, str] = field(default_factory=dict)

    def note(self, table: Table, anchor: str) -> tuple[str, list[str]]:
        """The sentences of a table's note that are new, and ids of the tables with the others."""
        sentences = re.split(r"(?<=\.)\s+", table.note) if table.note else []
        new = [line for line in sentences if line not in self.places]
        elsewhere = [self.places[line] for line in sentences if line in self.places]
        self.places |= dict.fromkeys(new, anchor)
        return " ".join(new), [place for place in dict.fromkeys(elsewhere) if place != anchor]


def render_report(
    profile: str,
    chapters: Sequence[Chapter],
    not_run: Table,
    records: list[Record],
) -> str:
    """HTML of a whole reproduction. not_run : what was left out, and why."""
    lead = make_lead(chapters)
    shown = {line for chapter in chapters for line in chapter.findings}
    players = [part.player for chapter in chapters for part in chapter.parts if part.player]
    template = environment().get_template("report.html.j2")
    return template.render(
        anchor=anchors(),
        note=Explained().note,
        main=main_columns,
        every=ordered_columns,
        narrow=NARROW,
        counted=counted,
        further=lambda section: [line for line in section.paragraphs if line not in shown],
        path_of=path_of,
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
