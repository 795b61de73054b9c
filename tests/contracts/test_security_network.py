import os
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


MORE = ("workers=1", "logger=csv", "embedder=pixels", "cache=false")
RUN = [*harness.RUN, *harness.leaderboard_words("clips", "out", *MORE)]
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
