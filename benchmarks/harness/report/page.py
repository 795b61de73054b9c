"""A run as one self-contained HTML page, and what all pages share."""

import base64
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.harness.cells import Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.records import FAILED, Record, decimals, digits
from benchmarks.harness.report.tables import heading, numeric, shown_columns, sort_key, unit
from benchmarks.harness.runner import Results
from spf.embedders import DISCLAIMERS, short_label
from spf.progress import METRICS

TEMPLATES = Path(__file__).parent / "templates"
EMBEDDED_IMAGES = 120
"""Images that a run's page holds itself; the others it links to, and says so."""

LONG = 32
"""Rows above which a table is folded up."""


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
    made.filters |= {"decimals": decimals, "digits": digits, "heading": heading, "unit": unit}
    made.filters |= {"sortkey": sort_key, "shown": shown_columns, "numeric": numeric}
    made.globals |= {"metrics": METRICS, "long": LONG}
    return made


def render_page(title: str, summary: Summary, results: Results, folder: RunFolder) -> str:
    """HTML of one run: its sections, its failures, what its metrics mean, where it comes from."""
    records = results.records
    figures = sum(len(section.figures) for section in summary.sections)
    template = environment().get_template("run.html.j2")
    return template.render(
        anchor=anchors(),
        title=title,
        summary=summary,
        interrupted=results.interrupted,
        failures=[record for record in records if record["status"] == FAILED],
        disclaimers=disclaimers(records),
        provenance=provenance_of(records),
        image=image_source(folder),
        linked=max(0, figures - EMBEDDED_IMAGES),
    )


def image_source(folder: RunFolder) -> Callable[[str], str]:
    """Function: path of an image or film -> its `src`, embedded for the first
    `EMBEDDED_IMAGES`, else relative to the run's folder."""
    seen: set[str] = set()

    def source(path: str) -> str:
        seen.add(path)
        if len(seen) > EMBEDDED_IMAGES:
            return quote(path)
        kind = "video/mp4" if path.endswith(".mp4") else "image/png"
        return data_url(kind, folder.read(path))

    return source


def data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def anchors() -> Callable[[Table], str]:
    """Function: a table -> its id on a page, the table's name where it comes first."""
    used: Counter[str] = Counter()
    known: dict[int, str] = {}

    def anchor(table: Table) -> str:
        if id(table) not in known:
            used[table.name] += 1
            count = used[table.name]
            known[id(table)] = table.name if count == 1 else f"{table.name}-{count}"
        return known[id(table)]

    return anchor


def disclaimers(records: list[Record]) -> list[str]:
    """What a reader must know about the embedders of the rows."""
    labels = dict.fromkeys(short_label(record["embedder"]) for record in records)
    return [DISCLAIMERS[name] for name in labels if name]


def provenance_of(records: list[Record]) -> dict[str, str]:
    names = ["config_hash", "commit", "dirty", "device", "versions", "weights_revision", "schema"]
    return {
        name: ", ".join(sorted({str(record[name]) for record in records if name in record}))
        for name in names
    }
