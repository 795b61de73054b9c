"""The unit of work: one cell of one benchmark, and what computing it gives."""

import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self, cast

import pandas as pd

from benchmarks.harness.folder import RunFolder
from spf.identity import code_hash, digest, installed

OnProgress = Callable[[], None]

PACKAGES = (
    *("numpy", "scipy", "av", "opencv-python-headless", "pillow", "scikit-image", "pandas"),
    *("matplotlib", "torch"),
)
"""Distributions whose version can move a number or an image."""


@dataclass(frozen=True)
class Key:
    """What a cell is about; its columns are the first of every record."""

    benchmark: str
    clip: str
    embedder: str
    model: str
    retime: str = "none"
    target: str = "linear"
    seed: int = 0
    control: bool = False

    @property
    def name(self) -> str:
        """A cell as messages name it."""
        return f"{self.model}/{self.clip}"


@dataclass
class Outcome:
    """What a computed cell gives.

    values : columns of the record (metrics, size of the clip ...). reason : why shape metrics are
    missing, where they are. files : images and tables, by their path in the run's folder.
    links : columns that point to one of these files. timings : seconds by stage.
    """

    values: dict[str, Any]
    reason: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)

    def add(self, column: str, path: str, data: bytes) -> None:
        """A file that a column points to."""
        self.files[path] = data
        self.links[column] = path


@lru_cache
def versions() -> dict[str, str]:
    """Versions of Python and of `PACKAGES`."""
    return {"python": platform.python_version()} | installed(*PACKAGES)


@dataclass(frozen=True)
class Cell:
    """A key, everything else that determines its result, and how to compute it.

    inputs : plain data; with the key, the code and the library versions it is the cell's identity.
    None where it cannot be known (a missing file): such a cell is never taken from an earlier run.
    compute : called with a function to call once a frame. Raises `SpfError` where it fails.
    not_run : why it cannot be computed here, in one line; empty where it can.
    parts : classes of the objects that the configuration gives to the computation.
    """

    key: Key
    inputs: Mapping[str, Any] | None
    compute: Callable[[OnProgress], Outcome]
    not_run: str = ""
    parts: tuple[type, ...] = ()

    @cached_property
    def identity(self) -> str:
        """Hash of all that determines the result; it names the cell's file."""
        code = code_hash(getattr(self.compute, "func", self.compute), *self.parts)
        return digest([vars(self.key), self.inputs, code, versions()])


class Benchmark(ABC):
    """A module of experiments: which cells there are, and what its rows are worth together.

    workers : processes that it wants where the user leaves it open; None for as many as pay off.
    imported : records of other runs that are summarised with its own. volatile : whether its
    summary reads more than its cells.
    """

    name: str
    measuring: Any
    workers: int | None = None
    imported: Sequence[dict[str, Any]] = ()
    volatile = False

    @abstractmethod
    def plan(self) -> str:
        """One line: what will be measured on what."""

    @abstractmethod
    def cells(self) -> list[Cell]:
        """All cells, in a fixed order. Raises ConfigError where there is nothing to do."""

    @abstractmethod
    def summarise(self, records: list[dict[str, Any]], folder: RunFolder) -> "Summary":
        """Tables, figures and sections of the page, from all records of the run."""

    def store_in(self, folder: RunFolder) -> None:  # noqa: B027
        """Take the run's folder, before any cell is computed."""

    def prepare(self) -> None:  # noqa: B027
        """Make what several cells need, once the plan is shown and a cell is left."""

    def show(self, folder: RunFolder) -> None:  # noqa: B027
        """Print a table of a run that is summarised."""


@dataclass(frozen=True)
class Figure:
    """An image (PNG) or film (MP4) on a page: its file in the run's folder, its alternative text,
    its caption."""

    path: str
    alt: str
    caption: str = ""


class Interval(NamedTuple):
    """A confidence interval, in the unit of what it encloses; tables print it as "low .. high"."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.4f} .. {self.high:.4f}"


def sign(interval: Interval | None) -> int:
    """-1 or 1 where the whole interval lies below or above 0, else 0, as where there is none."""
    return (interval.low > 0) - (interval.high < 0) if interval else 0


@dataclass(frozen=True, eq=False)
class Table:
    """A table on a page and as files: plain values and intervals; None or NaN where there is none.

    timed : it holds seconds, which differ from run to run, so that nothing compares it.
    """

    name: str
    title: str
    data: pd.DataFrame
    note: str = ""
    timed: bool = False

    @classmethod
    def of_rows(
        cls,
        name: str,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Mapping[str, Any]],
        note: str = "",
        timed: bool = False,
    ) -> Self:
        """The table of dictionaries, with their values as they are; other keys are left out."""
        plain = [{column: row.get(column) for column in columns} for row in rows]
        data = pd.DataFrame(plain, columns=list(columns), dtype=object)
        return cls(name, title, data, note, timed)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.data.columns)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as dictionaries of Python's own values."""
        return cast("list[dict[str, Any]]", self.data.to_dict("records"))


@dataclass(frozen=True)
class Section:
    """A part of a page: paragraphs, links, then tables, then figures. links : files in the run's
    folder by what they are called."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What a benchmark makes of its records."""

    headline: str
    sections: list[Section]

    def plain(self) -> dict[str, Any]:
        """The same as JSON can hold it; `of_plain` is the inverse."""
        return asdict(self, dict_factory=_plain)

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The summary of what `plain` gave. Raises KeyError or TypeError for anything else."""
        sections = [
            Section(
                part["title"],
                part["paragraphs"],
                [_table(**one) for one in part["tables"]],
                [Figure(**figure) for figure in part["figures"]],
                part["links"],
            )
            for part in plain["sections"]
        ]
        return cls(plain["headline"], sections)


def _table(data: Mapping[str, Any], **more: Any) -> Table:
    rows = [
        {name: Interval(*x) if isinstance(x, list) else x for name, x in row.items()}
        for row in data["rows"]  # JSON knows no other pair than a list
    ]
    return Table.of_rows(**more, columns=data["columns"], rows=rows)


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dataclass as a dictionary, and its tables as columns and rows."""
    return {
        name: {"columns": list(value), "rows": value.to_dict("records")}
        if isinstance(value, pd.DataFrame)
        else value
        for name, value in items
    }
