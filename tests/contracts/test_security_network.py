"""Nothing goes over a network unasked: no process connects, and all works without one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import harness
import pytest

AUDIT = """
import os, sys

def look(event, given):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = given[1]
        inside = not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1", "localhost")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        inside = given[0] in (None, "", "localhost", b"localhost", "127.0.0.1", "::1")
        address = given[0]
    else:
        return
    if not inside:
        with open(os.environ["SPF_TEST_AUDIT"], "a") as file:
            file.write(f"{event} {address} {sys.argv}\\n")

sys.addaudithook(look)
with open(os.environ["SPF_TEST_AUDIT"] + ".seen", "a") as file:
    file.write("x")
"""
"""Python runs it at the start of every process that finds it as `sitecustomize`."""


def audited(folder: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], list[str], int]:
    """A command, the connections that it and its children asked for, and how many processes of
    Python there were."""
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(AUDIT)
    log = folder / "audit"
    path = f"{hooks}{os.pathsep}{harness.ROOT}"
    done = harness.command(
        *words, cwd=folder, timeout=600, PYTHONPATH=path, SPF_TEST_AUDIT=str(log), HF_HUB_OFFLINE=""
    )
    found = log.read_text().splitlines() if log.exists() else []
    return done, found, len(Path(f"{log}.seen").read_text())


def test_the_audit_sees_connections(tmp_path: Path) -> None:
    """In children too; 192.0.2.1 is nobody's."""
    script = (
        "import socket, subprocess, sys\n"
        "s = socket.socket(); s.settimeout(0.01)\n"
        "try: s.connect(('192.0.2.1', 9))\n"
        "except OSError: pass\n"
        "if len(sys.argv) < 2: subprocess.run([sys.executable, sys.argv[0], 'child'])\n"
    )
    (tmp_path / "script.py").write_text(script)
    _, found, processes = audited(tmp_path, sys.executable, str(tmp_path / "script.py"))
    assert len(found) == processes == 2
    assert all(line.startswith("socket.connect ('192.0.2.1', 9)") for line in found)


COMMANDS = {
    "run": [*harness.RUN, "benchmark=leaderboard", "model=folder", "model.path=clips", "workers=1",
            "logger=csv", "embedder=pixels", "output=out", "cache=false"],
    "analyze": [*harness.SPF, "analyze", "clips/even/pair0.mp4", "--no-cache"],
    "doctor": [*harness.SPF, "doctor"],
    "compare": [*harness.SPF, "compare", "clips", "--out", "out", "--no-cache"],
    "retime": [*harness.SPF, "retime", "clips/jumpy/pair0.mp4", "--method", "nearest"],
}  # fmt: skip
SLOW = ("compare", "retime")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in COMMANDS],
)
def test_commands_connect_to_nobody(name: str, tmp_path: Path) -> None:
    harness.two_generators(tmp_path / "clips", 1)
    done, found, processes = audited(tmp_path, *COMMANDS[name])
    assert done.returncode == 0, done.stderr
    assert found == []
    assert processes >= (1 if name in ("doctor", "retime") else 2)  # the others decode in one


def isolated() -> list[str]:
    """Words that run a command without any interface, not even loopback."""
    unshare = shutil.which("unshare")
    words = [unshare or "", "--user", "--map-root-user", "--net"]
    if unshare is None:
        pytest.skip("no unshare here: the network cannot be taken away")
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"unshare is not permitted here: {tried.stderr.decode().strip()}")
    return words


def test_a_run_without_a_network_gives_the_same_tables(tmp_path: Path) -> None:
    """W&B's offline logger, the default one, fails nothing either where it cannot start."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    words = harness.leaderboard_words(clips, tmp_path / "alone", "workers=1", "embedder=pixels")
    done = harness.command(*isolated(), *harness.RUN, *words, "logger=csv", timeout=600)
    assert done.returncode == 0, done.stderr
    run = harness.run(clips, tmp_path / "out", "embedder=pixels", "workers=1")
    assert harness.tables(harness.only_run(tmp_path / "alone")) == harness.tables(run.folder.root)


@pytest.mark.slow
def test_the_paper_is_reproduced_without_a_network(tmp_path: Path) -> None:
    """The smallest scope of `make reproduce-paper PROFILE=embedded`: one experiment."""
    script = (
        "import dataclasses, sys\n"
        "from benchmarks.harness import reproduce\n"
        "from benchmarks.paper import EXPERIMENTS\n"
        "from test_reproduce import SMALL\n"
        "first = next(item for item in EXPERIMENTS if item.parts)\n"
        "part = dataclasses.replace(first.parts[0], options=SMALL)\n"
        "part = dataclasses.replace(part, embedded=(), wants=(), needs=())\n"
        "reproduce.EXPERIMENTS = (dataclasses.replace(first, parts=(part,)),)\n"
        "sys.exit(reproduce.reproduce('embedded', sys.argv[1]))\n"
    )
    tables = []
    for name, before in (("alone", isolated()), ("joined", [])):
        words = [*before, sys.executable, "-c", script, str(tmp_path / name)]
        rooms = ("", "tests/helpers", "tests/harness")
        path = os.pathsep.join(str(harness.ROOT / room) for room in rooms)
        done = harness.command(*words, timeout=900, PYTHONPATH=path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name / "report" / "index.html").is_file()
        found = sorted((tmp_path / name / "tables").glob("*.csv"))
        tables.append({file.name: file.read_bytes() for file in found})
    assert tables[0] == tables[1]
    assert tables[0]


ADDRESSES = ("src", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href")
INSIDE = re.compile(r"(data:|#|(?!.*\.\.)[\w%.-]+(/[\w%.-]+)*$)")
"""Data in the page, places in it, and files beside it."""


def addresses(text: str) -> list[str]:
    """Everything that a browser would load by itself."""
    page = harness.Page(text)
    found = [
        str(value)
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ADDRESSES or (name == "href" and tag not in ("a", "area"))
    ]
    return (
        found + re.findall(r"url\(\s*['\"]?([^)'\"]*)", text) + re.findall(r"@import\s+\S+", text)
    )


def outside(text: str) -> list[str]:
    return [address for address in addresses(text) if not INSIDE.match(address)]


@pytest.mark.parametrize(
    "text",
    [
        '<script src="//a.org/x.js"></script>',
        "<style>b { background: url(https://a.org/x) }</style>",
        "<style>@import 'https://a.org/x.css'</style>",
        '<video poster="file:///etc/passwd"></video>',
        '<img src="../../x.png">',
    ],
)
def test_the_search_sees_addresses(text: str) -> None:
    assert outside(text)


def test_pages_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Of a run with more pictures than a page holds itself, and of a study with its index."""
    clips = harness.two_generators(tmp_path / "clips", 2)
    with pytest.MonkeyPatch.context() as patch:
        harness.without_plots(patch)
        patch.setattr("benchmarks.harness.report.page.EMBEDDED_IMAGES", 1)
        board = harness.run(clips, tmp_path / "board", "embedder=pixels")
        study = harness.run(
            clips, tmp_path / "study", "embedder=pixels", "benchmark=user_study",
            "benchmark.checks=1",
        )  # fmt: skip
    pages = [path for run in (board, study) for path in run.folder.root.rglob("*.html")]
    assert len(pages) == 4  # the board, its clips side by side, the study and its index
    found = [addresses(path.read_text(encoding="utf-8")) for path in pages]
    assert all(found)
    assert any("plots/" in address for page in found for address in page)
    assert [outside(path.read_text(encoding="utf-8")) for path in pages] == [[]] * 4
