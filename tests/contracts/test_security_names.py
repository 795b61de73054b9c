import csv
import os
import pty
import re
import subprocess
import termios
from collections import Counter
from contextlib import suppress

import browser
import harness
import pytest
from PIL import Image

from benchmarks.harness import sweeps
from benchmarks.harness.cells import Table
from benchmarks.harness.records import as_csv, as_frame
from benchmarks.harness.report.tables import table_as_markdown
from benchmarks.harness.runner import one_line
from spf.names import FORMULA, NUMBERS, printable

HOSTILE = [
    "<script>document.title=1<∕script>", '"><img src=x onerror=document.title=1>',
    "' autofocus onfocus=document.title=1 '", "<style>@import 'x'", "{{ 7 * 7 }}${7*7}",
    "=HYPERLINK(0)", "+1+1", "-2+3+cmd|'A'", "@SUM(A1)", "＝2", "\t=1",
    "\x1b]0;owned\x07\x1b[2J", "line\r\nbreak", "right\u202eleft",
    "pipe|pipe `tick` [a](javascript:0)", "back\\|slash",
]  # fmt: skip
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def odd_frames(folder, name):
    folder.mkdir(parents=True)
    for number, frame in enumerate(harness.steady(6)):
        Image.fromarray(frame).save(folder / f"{number}.png")
    (folder / f"{name}.png").write_bytes(b"no picture")


def board(root, naming):
    for number, name in enumerate(HOSTILE):
        path = root / "clips" / naming(f"{number % 3}{name}") / f"{naming(name)}.mp4"
        if number % 3 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        else:
            harness.save(path, harness.steady(6, number))
    odd_frames(root / "clips" / "odd" / "frames", naming(HOSTILE[11]))
    odd_frames(root / "clips" / "odd" / "more", naming(HOSTILE[1]))
    return harness.run(root / "clips", root / "out", "embedder=pixels")


@pytest.fixture(scope="module")
def boards(tmp_path_factory, no_plots):
    """The same clips under hostile names, and under plain ones of the same printed length."""
    root = tmp_path_factory.mktemp("boards")
    plain = board(root / "plain", lambda name: re.sub(r"\W", "x", printable(name)))
    return [board(root / "hostile", str), plain]


def test_names_make_no_element_and_no_attribute(boards):
    pages = [harness.Page(run.folder.read("index.html").decode()) for run in boards]
    one, other = (Counter((tag, *sorted(names)) for tag, names in page.tags) for page in pages)
    assert one == other
    cells = {cell for row in pages[0].rows for cell in row}
    assert {printable(name) for name in HOSTILE} <= cells
    assert any("cannot be decoded, first" in cell and HOSTILE[1] in cell for cell in cells)


def test_a_browser_sees_text_alone(boards):
    with browser.open_page(boards[0].folder.root / "index.html") as page:
        assert page.evaluate("document.title") != "1"
        assert page.evaluate("document.scripts.length") == 1
        assert page.evaluate("document.querySelectorAll('main script, main style, b').length") == 0
        loud = "[...document.querySelectorAll('*')].filter(x => [...x.attributes].some(a => "
        assert page.evaluate(loud + "a.name.startsWith('on'))).length") == 0
        assert page.console_errors == page.requests == []


def formulas(path):
    with open(path, newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    return [cell for cell in cells if cell.startswith(FORMULA) and not NUMBERS.match(cell)]


def test_no_table_for_spreadsheets_holds_a_formula(boards, tmp_path):
    files = sorted(boards[0].folder.root.rglob("*.csv"))
    assert len(files) > 5
    assert [(path.name, found) for path in files if (found := formulas(path))] == []
    assert "'=HYPERLINK" in boards[0].folder.read("records.csv").decode()
    for number, begin in enumerate(FORMULA):
        (tmp_path / "a.csv").write_text(as_csv(as_frame([{"model": f"{begin}x", "frames": 3}])))
        sweeps.report(tmp_path, number, 0, [f"{begin}key=1"], f"{begin}folder")
        assert formulas(tmp_path / "a.csv") == []
    sweeps.summarise(tmp_path)
    assert formulas(tmp_path / "jobs.csv") == []


MARKS = re.compile(r"(?<!\\)(?:\\\\)*([|`\[\]<>])")


@pytest.mark.parametrize("name", [*HOSTILE, "\\", "\\\\|", "`" * 3, "<!--", "a\n# head\n| x |"])
def test_a_name_is_one_cell_of_markdown(name):
    text = table_as_markdown(Table.of_rows("t", name, ["a", "b"], [{"a": name, "b": 1.5}], name))
    lines = text.splitlines()
    assert len(lines) == 7  # title, table, note, and the gaps between them
    assert MARKS.findall(lines[4]) == ["|"] * 3
    assert not MARKS.findall(lines[0] + lines[6])


def test_files_of_a_run_have_plain_names(boards):
    for path in boards[0].folder.root.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name)
        assert path.resolve().is_relative_to(boards[0].folder.root.parents[1])


def test_records_and_errors_command_no_terminal(boards):
    records = boards[0].results.records
    assert sum(record["status"] == "failed" for record in records) > 5
    texts = [value for record in records for value in record.values() if isinstance(value, str)]
    texts += [one_line(ValueError(f"a {name}\nb")) for name in HOSTILE]
    assert [text for text in texts if CONTROL.search(text)] == []


def at_a_terminal(*command, cwd):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 160))  # room for bars
    command = ["timeout", "--foreground", "120", *command]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = subprocess.Popen(command, cwd=cwd, env=harness.environment(), **pipes)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the terminal is gone
        while more := os.read(ours, 65536):
            shown += more
    process.wait(60)
    os.close(ours)
    return shown


def test_a_terminal_is_shown_no_names_that_command_it(tmp_path):
    evil = "\x1b]0;owned\x07\x1b[2J\r\u202e"
    harness.save(tmp_path / f"good{evil}.mp4", harness.steady(30))
    (tmp_path / f"bad{evil}.mp4").write_bytes(b"")
    odd_frames(tmp_path / f"frames{evil}", f"odd{evil}")
    (tmp_path / b"caf\xe9.mp4".decode("utf-8", "surrogateescape")).write_bytes(b"")
    names = sorted(path.name for path in tmp_path.iterdir())
    options = ["--embedder", "pixels", "--no-cache", "--no-plot"]
    shown = at_a_terminal(*harness.SPF, "analyze", *options, *names, cwd=tmp_path)
    assert re.search(rb"\d/\d \[", shown)  # a bar
    for text in (b"good", b"the file is empty", b"1 of 7 frames lost"):
        assert text in shown
    for text in (b"\x1b]", b"\x07", b"\x1b[2J", "\u202e".encode(), b"\xe9.mp4", b"Traceback"):
        assert text not in shown


def test_printable_leaves_good_names_alone():
    for name in ("längs 日本語 😀", "a b-c_d.e", "<b>"):
        assert printable(name) == name
    assert printable("\ud800x") == "\\ud800x"
    assert printable(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"
