"""What a page says, compared with what its tables show: all numbers of a clause are in one row."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?%?(?!\w)")
Row = Sequence[str]


def unquoted(text, rows):
    """Clauses of a text whose numbers and names are not all in one of the rows, as printed.

    Names are cells that are more than numbers; those before a sentence's colon belong to all its
    clauses.
    """
    names = {cell for row in rows for cell in row if _is_name(cell)}
    longest = sorted(names, key=len, reverse=True)
    listed = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest) or "(?!)")
    found = []

    def hidden(match):
        found.append(match[0])
        return f"\0{len(found) - 1}\0"

    def named(part):
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


def _is_name(cell):
    return NUMBER.sub("", cell).strip(" .") not in ("", "of")


def _contents(row):
    """Names of a row, and the numbers of its other cells: 0.5, "3 of 4", "0.1 .. 0.2"."""
    return {x for cell in row for x in ([cell] if _is_name(cell) else NUMBER.findall(cell))}


@dataclass
class Said:
    """A sentence or more, and the rows of the tables that it is made of."""

    chapter: str
    text: str = ""
    rows: list[list[str]] = field(default_factory=list)


class Report(HTMLParser):
    """What a report says: `claims` with the table that each links to, `bars` of the first figure,
    `findings` of a chapter with its rows, `paragraphs` with those of their section; `tables` by
    their ids, and the data of its films."""

    def __init__(self, page):
        super().__init__()
        self.claims = []
        self.verdicts = []
        self.bars = []
        self.findings = {}
        self.paragraphs = []
        self.tables = {}
        self.films = []
        self._chapter = self._text = ""
        self._part = []
        self._first = False
        self._table = []
        self._taken = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        name, kind = known.get("id") or "", known.get("class") or ""
        if tag == "h2":
            self._chapter = name if name.startswith("experiment-") else ""
            self._part = []
        if tag == "h3" or (tag == "h4" and not name and not self._first):
            self._part = []  # a run, or a section of it; the table before the first is the first's
        self._first = (tag == "details" and kind == "part") or (self._first and tag != "h4")
        if tag in ("h3", "h4", "h5") and name:
            self._table = self.tables[name] = []
        if tag == "li" and "data-table" in known:
            self.claims.append((str(known["data-table"]), Said("")))
        if tag == "span" and kind.startswith("verdict") and self.claims:
            self._take(tag, self.verdicts.append)
        elif tag == "p" and kind == "figures-line":
            self._take(tag, self.claims[-1][1])
        elif tag == "p" and kind == "finding" and self._chapter:
            self._take(tag, self.findings.setdefault(self._chapter, Said(self._chapter)))
        elif tag == "p" and self._chapter and not known:
            self.paragraphs.append(Said(self._chapter, rows=self._part))
            self._take(tag, self.paragraphs[-1])
        elif tag == "div" and "data-strategy" in known:
            self.bars.append(f"{known['data-strategy']}:")
        elif tag == "dd" and self.bars and not self._chapter and not self.findings:
            self._take(tag, self._add_bar)
        elif tag == "script" and known.get("type") == "application/json":
            self._take(tag, lambda text: self.films.append(json.loads(text)))
        elif tag == "tr":
            row = []
            self._table.append(row)
            self._part.append(row)
            if self._chapter:
                self.findings[self._chapter].rows.append(row)
        elif tag == "td":
            self._take(tag, self._table[-1].append)

    def _add_bar(self, text):
        self.bars[-1] += f" {text}"

    def _take(self, tag, to):
        """What comes until the end of a tag belongs there."""

        def add(text):
            if isinstance(to, Said):
                to.text = f"{to.text} {text}".strip()
            else:
                to(text)

        self._taken.append((tag, add))
        self._text = ""

    def handle_endtag(self, tag):
        if self._taken and tag == self._taken[-1][0]:
            self._taken.pop()[1](" ".join(self._text.split()))

    def handle_data(self, data):
        if self._taken:
            self._text += data
