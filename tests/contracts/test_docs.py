import ast
import re
import shlex
from functools import cache

import harness
import pytest
import typer

from spf import cli

ROOT = harness.ROOT
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("spf", "synthetic", "benchmarks", "configs", "scripts", "tests", "docs")
"""Of the repository; what lies in `results` is made by runs."""
SUFFIXES = (".py", ".md", ".toml", ".lock", ".cff")
EXAMPLES = {"mine.py", "my_generator.py", "generate.py"}


@cache
def code(page):
    """Everything in a page that is set as code: lines of blocks, and what is between backticks."""
    parts = re.split(r"^```.*$", page.read_text(), flags=re.MULTILINE)
    lines = "".join(parts[1::2]).splitlines()
    return [*filter(str.strip, lines), *re.findall(r"`([^`]+)`", "".join(parts[::2]))]


def named(pattern, least):
    found = [(page.name, text) for page in PAGES for text in code(page) if re.match(pattern, text)]
    assert len(found) > least
    return found


def test_tests_that_are_named_exist():
    known = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert [(page, name) for page, name in named("test_", 30) if name not in known] == []


def test_every_fault_names_its_test():
    text = (ROOT / "docs" / "development" / "reliability.md").read_text()
    table = text.partition("| fault | what happens |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    assert len(rows) > 20
    for fault, _, exit_code, proof in rows:
        assert re.fullmatch(r" (none|130|[0-3](, [0-3])*) ", exit_code), fault
        assert re.search(r"`test_\w+`", proof), fault


def test_files_that_are_named_exist():
    """One in capitals stands for any."""
    count = 0
    for page in PAGES:
        for word in " ".join(code(page)).split():
            place = word.strip("'\"(),;:").partition("::")[0].partition("#")[0]
            inside = place.partition("/")[0] in FOLDERS and "/" in place
            alone = place.endswith(SUFFIXES) and "/" not in place and place not in EXAMPLES
            if re.fullmatch(r"\w[\w./*-]*", place) and (inside or alone):
                pattern = re.sub(r"(?<![\w*])[A-Z]{2,}(?![\w*])", "*", place).rstrip("/")
                found = [*ROOT.glob(pattern), *ROOT.glob(f"docs/{pattern}")]
                assert found, (page.name, place)
                count += 1
    assert count > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_nothing_is_left_to_fill_in(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith(("http:", "https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target
    assert re.search(r"@[A-Z]+@|TODO|FIXME", page.read_text()) is None


def options_in(text):
    words = shlex.split(text.replace("'", " "), comments=True)
    return words, {word.partition("=")[0] for word in words if word.startswith("-")}


def test_options_that_are_named_are_known():
    """`{` is in those of other programs, into which we put something."""
    commands = typer.main.get_command(cli.app).commands
    known = {
        name: {"--help", *(option for parameter in command.params for option in parameter.opts)}
        for name, command in commands.items()
    }
    for page, text in named(r"(\S*/)?spf \w", 8):
        words, options = options_in(text)
        assert options <= known[words[1]], (page, text)
    of_run = {"--fresh", "--help", "--multirun", "-m"}
    for page, text in named(r"--(?!.*\{)", 10):
        assert options_in(text)[1] <= set.union(of_run, *known.values()), (page, text)
