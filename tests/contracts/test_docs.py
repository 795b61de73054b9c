"""What the documents name exists: tests, files, links, and the options of the command."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import harness
import pytest
import typer

from spf import cli

ROOT = harness.ROOT
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("spf", "synthetic", "benchmarks", "configs", "scripts", "tests", "docs")
"""Of the repository; what lies in `results` is made by runs."""
SUFFIXES = (".py", ".md", ".toml", ".lock", ".cff")
OF_RUN = {"--fresh", "--help", "--multirun", "-m"}


@cache
def code(page: Path) -> list[str]:
    """Everything in a page that is set as code: lines of blocks, and what is between backticks."""
    parts = re.split(r"^```.*$", page.read_text(), flags=re.MULTILINE)
    lines = "".join(parts[1::2]).splitlines()
    return [*filter(str.strip, lines), *re.findall(r"`([^`]+)`", "".join(parts[::2]))]


def named(pattern: str) -> list[tuple[str, str]]:
    """The pages' codes that match a pattern at their beginning, each with its page's name."""
    return [(page.name, text) for page in PAGES for text in code(page) if re.match(pattern, text)]


@cache
def known_tests() -> set[str]:
    """Names of all tests."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_tests_that_are_named_exist() -> None:
    """By their whole names, without a file, so that they may move."""
    found = named("test_")
    assert len(found) > 30
    assert [(page, name) for page, name in found if name not in known_tests()] == []


def test_every_fault_names_its_test() -> None:
    text = (ROOT / "docs" / "development" / "reliability.md").read_text()
    table = text.partition("| fault | what happens |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    assert len(rows) > 20
    for fault, happens, exit_code, proof in rows:
        assert happens.strip(), fault
        assert re.fullmatch(r" (none|130|[0-3](, [0-3])*) ", exit_code), fault
        assert re.search(r"`test_\w+`", proof), fault


def paths() -> Iterator[tuple[str, str]]:
    """Words of code that look like files of the repository, each with its page's name."""
    for page in PAGES:
        for text in code(page):
            for word in text.split():
                place = word.strip("'\"(),;:").partition("::")[0].partition("#")[0]
                if not re.fullmatch(r"\w[\w./*-]*", place):
                    continue
                inside = place.partition("/")[0] in FOLDERS and "/" in place
                if inside or (place.endswith(SUFFIXES) and "/" not in place):
                    yield page.name, place


def exists(place: str) -> bool:
    """Whether there is such a file; one in capitals stands for any."""
    pattern = re.sub(r"(?<![\w*])[A-Z]{2,}(?![\w*])", "*", place)
    found = (ROOT.glob(pattern.rstrip("/")), ROOT.glob(f"docs/{pattern}"))
    return (ROOT / place).exists() or any(True for several in found for _ in several)


def test_files_that_are_named_exist() -> None:
    found = list(paths())
    assert len(found) > 50
    mine = {"mine.py", "my_generator.py", "generate.py"}  # of examples
    missing = [(page, place) for page, place in found if not exists(place) and place not in mine]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http:", "https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


# The command


@cache
def options() -> dict[str, set[str]]:
    """Options of each of the command's own commands."""
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    return {
        name: {"--help", *(option for parameter in command.params for option in parameter.opts)}
        for name, command in commands.items()
    }


def words(text: str) -> list[str]:
    return shlex.split(text.replace("'", " "), comments=True)


def test_options_that_are_named_are_known() -> None:
    found = named(r"(\S*/)?spf \w")
    assert len(found) > 8
    for page, text in found:
        _, command, *more = words(text)
        assert command in options(), (page, text)
        given = {word.partition("=")[0] for word in more if word.startswith("-")}
        assert given <= options()[command], (page, text)


def test_options_that_are_named_alone_are_known() -> None:
    """`{` is in those of other programs, into which we put something."""
    known = set.union(*options().values()) | OF_RUN
    found = [(page, text) for page, text in named("--") if "{" not in text]
    assert len(found) > 10
    for page, text in found:
        given = {word.partition("=")[0] for word in words(text) if word.startswith("-")}
        assert given <= known, (page, text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    assert re.search(r"@[A-Z]+@|TODO|FIXME", page.read_text()) is None
