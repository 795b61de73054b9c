"""A run, or a whole report, as one self-contained HTML page."""

import base64
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.cells import Summary, Table
from benchmarks.folder import RunFolder
from benchmarks.paper import Experiment
from benchmarks.records import FAILED, Record, number
from benchmarks.runner import Results
from benchmarks.tables import heading
from spf import METRICS
from spf.embedders import CAUTIONS, remark

if TYPE_CHECKING:
    from benchmarks.session import Run

TEMPLATES = Path(__file__).parent / "templates"
EMBEDDED_PICTURES = 120
"""Pictures that a page holds itself; the others it links to, and says so."""


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
    made.filters["number"] = number
    made.filters["heading"] = heading
    made.filters["sortkey"] = sort_key
    made.filters["shown"] = shown_columns
    made.globals["metrics"] = METRICS
    return made


def render_page(title: str, summary: Summary, results: Results, folder: RunFolder) -> str:
    """HTML of one run: its sections, its failures, what its metrics mean, where it comes from."""
    records = results.records
    template = environment().get_template("run.html.j2")
    return template.render(
        title=title,
        summary=summary,
        interrupted=results.interrupted,
        failures=[record for record in records if record["status"] == FAILED],
        cautions=_cautions(records),
        provenance=_provenance(records),
        picture=picture_source(folder, ""),
        linked=_linked(summary),
    )


def picture_source(folder: RunFolder, prefix: str) -> Callable[[str], str]:
    """Function: path of a picture or film -> its `src`, embedded for the first `EMBEDDED_PICTURES`.

    prefix : path from the page to the run's folder, for the pictures that are only linked.
    """
    seen: set[str] = set()

    def source(path: str) -> str:
        seen.add(path)
        if len(seen) > EMBEDDED_PICTURES:
            return quote(prefix + path)
        data = base64.b64encode(folder.read(path)).decode()
        kind = "video/mp4" if path.endswith(".mp4") else "image/png"
        return f"data:{kind};base64,{data}"

    return source


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
    return [name for name in table.columns if any(number(row.get(name)) for row in table.rows)]


def _provenance(records: list[Record]) -> dict[str, str]:
    names = ["config_hash", "commit", "dirty", "device", "versions", "weights_revision", "schema"]
    return {
        name: ", ".join(sorted({str(record[name]) for record in records if name in record}))
        for name in names
    }


def render_report(profile: str, plan: Table, runs: list[tuple[Experiment, "Run"]]) -> str:
    """HTML of a whole reproduction: the plan, then every experiment that was run."""
    parts = [
        {
            "title": f"Experiment {item.number}: {item.title}",
            "run": run,
            "picture": picture_source(run.folder, f"../runs/{run.folder.root.name}/"),
            "linked": _linked(run.summary),
        }
        for item, run in runs
    ]
    records = [record for _, run in runs for record in run.results.records]
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            title="Semantic Progress Function: reproduction",
            profile=profile,
            plan=plan,
            parts_of_report=parts,
            cautions=_cautions(records),
            provenance=_provenance(records),
        )
    )
