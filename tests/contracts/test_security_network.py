import os
import re
import shutil
import sys
from pathlib import Path

import harness
import pytest

AUDIT = """
import os, sys

def look(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        inside = not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1", "localhost")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        inside = args[0] in (None, "", "localhost", b"localhost", "127.0.0.1", "::1")
        address = args[0]
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


def audited(folder, *command):
    """A command, the connections that it and its children asked for, and how many processes of
    Python there were."""
    hooks, log = folder / "hooks", folder / "audit"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(AUDIT)
    places = {"PYTHONPATH": f"{hooks}{os.pathsep}{harness.ROOT}", "SPF_TEST_AUDIT": str(log)}
    done = harness.command(*command, cwd=folder, timeout=600, HF_HUB_OFFLINE="", **places)
    found = log.read_text().splitlines() if log.exists() else []
    return done, found, len(Path(f"{log}.seen").read_text())


def test_the_audit_sees_connections(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import socket, subprocess, sys\n"
        "s = socket.socket(); s.settimeout(0.01)\n"
        "try: s.connect(('192.0.2.1', 9))\n"
        "except OSError: pass\n"
        "if len(sys.argv) < 2: subprocess.run([sys.executable, sys.argv[0], 'child'])\n"
    )
    _, found, processes = audited(tmp_path, sys.executable, str(script))
    assert len(found) == processes == 2
    assert all(line.startswith("socket.connect ('192.0.2.1', 9)") for line in found)


RUN = ["benchmark=leaderboard", "model=folder", "model.path=clips", "workers=1", "logger=csv"]
RUN = [*harness.RUN, *RUN, "embedder=pixels", "output=out", "cache=false"]
CLIP = "clips/jumpy/pair0.mp4"
COMMANDS = {
    "run": (RUN, 2),
    "analyze": ([*harness.SPF, "analyze", CLIP, "--no-cache", "--embedder", "pixels"], 2),
    "doctor": ([*harness.SPF, "doctor"], 1),
    "compare": ([*harness.SPF, "compare", "clips", "--out", "out", "--no-cache"], 2),
    "retime": ([*harness.SPF, "retime", CLIP, "--method", "nearest"], 1),
}
"""Each with the least number of its processes: most decode in one."""


@pytest.mark.parametrize(
    "name",
    ["analyze", *(pytest.param(x, marks=pytest.mark.slow) for x in COMMANDS if x != "analyze")],
)
def test_commands_connect_to_nobody(name, tmp_path):
    harness.two_generators(tmp_path / "clips", 1)
    command, least = COMMANDS[name]
    done, found, processes = audited(tmp_path, *command)
    assert done.returncode == 0, done.stderr
    assert found == []
    assert processes >= least


def isolated():
    """What runs a command without any interface, not even loopback."""
    command = ["unshare", "--user", "--map-root-user", "--net"]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here: the network cannot be taken away")
    if (tried := harness.command(*command, "true")).returncode:
        pytest.skip(f"unshare is not permitted here: {tried.stderr.strip()}")
    return command


def test_a_run_without_a_network_gives_the_same_tables(tmp_path):
    clips = harness.two_generators(tmp_path / "clips", 1)
    options = harness.leaderboard_words(clips, tmp_path / "alone", "workers=1", "embedder=pixels")
    done = harness.command(*isolated(), *harness.RUN, *options, "logger=csv", timeout=600)
    assert done.returncode == 0, done.stderr
    run = harness.run(clips, tmp_path / "out", "embedder=pixels", "workers=1")
    assert harness.tables(harness.only_run(tmp_path / "alone")) == harness.tables(run.folder.root)


PAPER = """
import dataclasses, sys
from benchmarks.harness import reproduce
from benchmarks.paper import EXPERIMENTS
from test_reproduce import SMALL
first = next(item for item in EXPERIMENTS if item.parts)
part = dataclasses.replace(first.parts[0], options=SMALL, embedded=(), wants=(), needs=())
reproduce.EXPERIMENTS = (dataclasses.replace(first, parts=(part,)),)
sys.exit(reproduce.reproduce('embedded', sys.argv[1]))
"""


@pytest.mark.slow
def test_the_paper_is_reproduced_without_a_network(tmp_path):
    rooms = ("", "tests/helpers", "tests/harness")
    path = os.pathsep.join(str(harness.ROOT / room) for room in rooms)
    tables = []
    for root, before in ((tmp_path / "alone", isolated()), (tmp_path / "joined", [])):
        command = [*before, sys.executable, "-c", PAPER, str(root)]
        done = harness.command(*command, timeout=900, PYTHONPATH=path)
        assert done.returncode == 0, done.stderr
        assert (root / "report" / "index.html").is_file()
        tables.append({x.name: x.read_bytes() for x in (root / "tables").glob("*.csv")})
    assert tables[0] == tables[1]
    assert tables[0]


ADDRESSES = ("src", "srcset", "poster", "data", "action", "formaction", "background", "xlink:href")
INSIDE = re.compile(r"(data:|#|(?!.*\.\.)[\w%.-]+(/[\w%.-]+)*$)")
"""Data in the page, places in it, and files beside it."""


def addresses(text):
    """Everything that a browser would load by itself."""
    found = re.findall(r"url\(\s*['\"]?([^)'\"]*)", text) + re.findall(r"@import\s+\S+", text)
    for tag, attributes in harness.Page(text).tags:
        names = ADDRESSES if tag in ("a", "area") else (*ADDRESSES, "href")
        found += [str(attributes[name]) for name in names if name in attributes]
    return found


def outside(text):
    return [address for address in addresses(text) if not INSIDE.match(address)]


def test_pages_load_nothing_from_elsewhere(tmp_path, no_plots, monkeypatch):
    for text in (
        '<script src="//a.org/x.js"></script>',
        "<style>b { background: url(https://a.org/x) }</style>",
        "<style>@import 'https://a.org/x.css'</style>",
        '<video poster="file:///etc/passwd"></video>',
        '<img src="../../x.png">',
    ):
        assert outside(text)
    clips = harness.two_generators(tmp_path / "clips", 2)
    study = ["embedder=pixels", "benchmark=user_study", "benchmark.checks=1"]
    monkeypatch.setattr("benchmarks.harness.report.page.EMBEDDED_IMAGES", 1)
    runs = [harness.run(clips, tmp_path / "board", "embedder=pixels")]
    runs.append(harness.run(clips, tmp_path / "study", *study))
    pages = [path.read_text("utf-8") for run in runs for path in run.folder.root.rglob("*.html")]
    assert len(pages) == 4  # the board, its clips side by side, the study and its index
    assert all(addresses(page) for page in pages)
    assert any("plots/" in address for page in pages for address in addresses(page))
    assert [outside(page) for page in pages] == [[]] * 4
