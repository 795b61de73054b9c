"""What a page says, compared with what its tables show: all numbers of a clause are in one row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?%?(?!\w)")
Row = Sequence[str]


def unquoted(text: str, rows: Sequence[Row]) -> list[str]:
    """Clauses of a text whose numbers and names are not all in one of the rows, as printed.

    Names are cells that are more than numbers; those before a sentence's colon belong to all its
    clauses.
    """
    names = {cell for row in rows for cell in row if _is_name(cell)}
    longest = sorted(names, key=len, reverse=True)
    listed = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest) or "(?!)")
    found: list[str] = []

    def hidden(match: re.Match[str]) -> str:
        found.append(match[0])
        return f"\0{len(found) - 1}\0"

    def named(part: str) -> set[str]:
        return {found[int(index)] for index in re.findall(r"\0(\d+)\0", part)}

    known = [_contents(row) for row in rows]
    lost = []
    for sentence in re.split(r"\.(?:\s+|$)", listed.sub(hidden, text)):
        head, _, tail = sentence.rpartition(":")
        for clause in (head, *tail.split(";")):
            numbers = set(NUMBER.findall(re.sub(r"\0\d+\0", " ", clause)))
            wanted = numbers | named(head) | named(clause)
            if numbers and not any(wanted <= row for row in known):
                lost.append(re.sub(r"\0(\d+)\0", lambda match: found[int(match[1])], clause))
    return lost


def _is_name(cell: str) -> bool:
    return NUMBER.sub("", cell).strip(" .") not in ("", "of")


def _contents(row: Row) -> set[str]:
    """Names of a row, and the numbers of its other cells: 0.5, "3 of 4", "0.1 .. 0.2"."""
    return {x for cell in row for x in ([cell] if _is_name(cell) else NUMBER.findall(cell))}


@dataclass
class Said:
    """A finding or a paragraph, and the rows of the tables that it is made of."""

    chapter: str
    text: str = ""
    rows: list[list[str]] = field(default_factory=list)


class Report(HTMLParser):
    """Findings, paragraphs and captions of a report's experiments; a paragraph has the rows of its
    section's tables, the others those of the whole chapter."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.findings: dict[str, Said] = {}
        self.paragraphs: list[Said] = []
        self.captions: list[Said] = []
        self.short: list[str] = []
        self._chapter = ""
        self._section: list[list[str]] = []
        self._inside: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        name = known.get("id") or ""
        if tag == "h2":
            self._chapter = name if name.startswith("experiment-") else ""
        if tag == "h4":
            self._section = []
        if tag == "li" and "value" in known:
            self.short.append("")
            self._inside.append("short")
        elif tag == "p" and self._chapter and known.get("class") == "finding":
            self.findings[self._chapter] = Said(self._chapter)
            self._inside.append("finding")
        elif tag == "p" and self._chapter and not known:
            self.paragraphs.append(Said(self._chapter, rows=self._section))
            self._inside.append("paragraph")
        elif tag == "figcaption":
            self.captions.append(Said(self._chapter, rows=self.findings[self._chapter].rows))
            self._inside.append("caption")
        elif tag == "tr" and self._chapter:
            row: list[str] = []
            self._section.append(row)
            self.findings[self._chapter].rows.append(row)
        elif tag == "td" and self._chapter:
            self._section[-1].append("")
            self._inside.append("cell")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "li", "td", "figcaption") and self._inside:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        if inside == "cell":
            self._section[-1][-1] += data
        if inside == "short":
            self.short[-1] += data
        if inside == "finding":
            self.findings[self._chapter].text += data
        if inside == "paragraph":
            self.paragraphs[-1].text += data
        if inside == "caption":
            self.captions[-1].text += data
