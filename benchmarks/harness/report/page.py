"""A run, or a whole report, as one self-contained HTML page."""

import base64
import io
import math
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from benchmarks.harness.cells import Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.printing import decimals, digits
from benchmarks.harness.records import FAILED, Record, number
from benchmarks.harness.report.players import Player, webp
from benchmarks.harness.report.tables import heading
from benchmarks.harness.runner import Results
from benchmarks.paper import CITATION, REPORTED, Experiment
from spf.embedders import CAUTIONS, remark
from spf.progress import METRICS

TEMPLATES = Path(__file__).parent / "templates"
EMBEDDED_PICTURES = 120
"""Pictures that a run's page holds itself; the others it links to, and says so."""

FIGURES = 8
"""Of a section, in a report: the others are on the run's own page."""

LONG = 32
"""Rows above which a table is folded up."""

PAPER = "paper"


@lru_cache
def environment() -> Environment:
    """Templates with autoescape: names and prompts come from files and are never trusted."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["decimals"] = decimals
    made.filters["digits"] = digits
    made.filters["heading"] = heading
    made.filters["sortkey"] = sort_key
    made.filters["shown"] = shown_columns
    made.filters["numeric"] = numeric
    made.globals["metrics"] = METRICS
    made.globals["long"] = LONG
    return made


def render_page(title: str, summary: Summary, results: Results, folder: RunFolder) -> str:
    """HTML of one run: its sections, its failures, what its metrics mean, where it comes from."""
    records = results.records
    template = environment().get_template("run.html.j2")
    return template.render(
        anchor=_anchors(),
        title=title,
        summary=summary,
        interrupted=results.interrupted,
        failures=[record for record in records if record["status"] == FAILED],
        cautions=_cautions(records),
        provenance=_provenance(records),
        picture=picture_source(folder),
        linked=_linked(summary),
    )


def picture_source(folder: RunFolder) -> Callable[[str], str]:
    """Function: path of a picture or film -> its `src`, embedded for the first
    `EMBEDDED_PICTURES`, else relative to the run's folder."""
    seen: set[str] = set()

    def source(path: str) -> str:
        seen.add(path)
        if len(seen) > EMBEDDED_PICTURES:
            return quote(path)
        kind = "video/mp4" if path.endswith(".mp4") else "image/png"
        return _data_url(kind, folder.read(path))

    return source


def lean_source(folder: RunFolder) -> Callable[[str], str]:
    """As `picture_source`, every one embedded, pictures in a smaller format."""

    def source(path: str) -> str:
        data = folder.read(path)
        if path.endswith(".mp4"):
            return _data_url("video/mp4", data)
        return webp(Image.open(io.BytesIO(data)).convert("RGB"), 88)

    return source


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _anchors() -> Callable[[str], str]:
    """Function: a name -> an id that the page has not used yet."""
    used: Counter[str] = Counter()

    def anchor(name: str) -> str:
        used[name] += 1
        return name if used[name] == 1 else f"{name}-{used[name]}"

    return anchor


def _cautions(records: list[Record]) -> list[str]:
    """What a reader must be told about the embedders of the rows."""
    remarks = dict.fromkeys(remark(record["embedder"]) for record in records)
    return [CAUTIONS[name] for name in remarks if name]


def _linked(summary: Summary) -> int:
    """Pictures of a page that it only links to."""
    count = sum(len(section.figures) for section in summary.sections)
    return max(0, count - EMBEDDED_PICTURES)


def sort_key(value: Any) -> str:
    """What a column is sorted by: numbers as numbers, nothing last."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, int | float) else str(value)


def shown_columns(table: Table) -> list[str]:
    """Columns of a table that hold something; the files keep the empty ones too."""
    return [name for name in table.columns if name == PAPER or any(map(number, table.data[name]))]


def numeric(table: Table, column: str) -> bool:
    """Whether a column holds numbers and nothing else."""
    values = [value for value in table.data[column].tolist() if number(value)]
    return bool(values) and all(isinstance(value, int | float) for value in values)


def _provenance(records: list[Record]) -> dict[str, str]:
    names = ["config_hash", "commit", "dirty", "device", "versions", "weights_revision", "schema"]
    return {
        name: ", ".join(sorted({str(record[name]) for record in records if name in record}))
        for name in names
    }


@dataclass(frozen=True)
class Part:
    """A run in a report. command : that makes it. folder : of the run, as seen from the report."""

    title: str
    headline: str
    command: str
    sections: list[Section]
    picture: Callable[[str], str]
    folder: str
    players: list[Player] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True)
class Chapter:
    """An experiment in a report: its runs, and why other runs of it are missing."""

    number: int
    title: str
    claim: str
    finding: str
    missing: list[str]
    parts: list[Part]


def make_part(
    title: str, words: Sequence[str], summary: Summary, folder: RunFolder, players: list[Player]
) -> Part:
    """A run as the report shows it: its first figures, and the paper's word in its first table."""
    sections = [replace(part, figures=part.figures[:FIGURES]) for part in summary.sections]
    if sections and sections[0].tables:
        first, *others = sections[0].tables
        sections[0] = replace(sections[0], tables=[with_paper(first), *others])
    return Part(
        title,
        summary.headline,
        shlex.join(["python", "run.py", *words]),
        sections,
        lean_source(folder),
        quote(f"../runs/{folder.root.name}/"),
        players,
        sum(max(0, len(part.figures) - FIGURES) for part in summary.sections),
    )


def with_paper(table: Table) -> Table:
    """The table with a column that says what the paper reports of a row, blank where unknown."""
    known = REPORTED.get(table.name, {})
    data = table.data.copy()
    named = [known.get(str(value).partition(" ")[0], "") for value in data.iloc[:, 0]]
    data.insert(1, PAPER, named)
    return replace(table, data=data)


def make_chapter(item: Experiment, finding: str, missing: list[str], parts: list[Part]) -> Chapter:
    """An experiment with its runs; without any, the finding is why."""
    return Chapter(
        item.number,
        item.title,
        item.claim,
        finding if parts else f"Not run: {missing[0].removeprefix('not run: ')}.",
        missing if parts else [],
        parts,
    )


def render_report(
    profile: str, plan: Table, chapters: Sequence[Chapter], records: list[Record]
) -> str:
    """HTML of a whole reproduction: what was found, the plan, then every experiment."""
    template = environment().get_template("report.html.j2")
    return template.render(
        anchor=_anchors(),
        title="Semantic Progress Function: reproduction",
        profile=profile,
        plan=plan,
        chapters=chapters,
        cautions=_cautions(records),
        provenance=_provenance(records),
        citation=CITATION,
    )
