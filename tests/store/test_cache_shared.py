"""The cache among processes, in the leaderboard and on the command line."""

import signal
import sys

import harness
import pandas as pd
import pytest
from test_cache import forbid_decoding

from spf.cache import user_cache
from spf.cli import main

# Embeds argv[1] when it is told to; a line in argv[2] says that it computed and did not wait.
PROCESS = """
import hashlib, sys, time
import spf, spf.measurement
original = spf.measurement.embed_clip
def embed_clip(*args):
    with open(sys.argv[2], "a") as file:
        file.write("computed\\n")
    time.sleep(float(sys.argv[3]))
    return original(*args)
spf.measurement.embed_clip = embed_clip
print("ready", flush=True)
sys.stdin.readline()
print(hashlib.sha256(spf.embed(sys.argv[1], "histogram").tobytes()).hexdigest())
"""


@pytest.fixture
def clip(tmp_path):
    return harness.save(tmp_path / "clip.mp4", harness.jumping())


@pytest.fixture(autouse=True)
def _patience():
    """Fail instead of waiting for ever."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("still waiting"))
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def ready(clip, log, seconds):
    return harness.start(sys.executable, "-c", PROCESS, str(clip), str(log), seconds, talk=True)


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_of_three_processes_one_computes(clip, tmp_path):
    running = [ready(clip, tmp_path / "log", "1") for _ in range(3)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        go(process)
    answers = [process.communicate(timeout=60) for process in running]
    assert {errors for _, errors in answers} == {""}
    assert len({output for output, _ in answers}) == 1
    assert (tmp_path / "log").read_text() == "computed\n"
    assert len(list(user_cache().folder.iterdir())) == 1


def test_ctrl_c_ends_the_waiting(clip, tmp_path):
    holder = ready(clip, tmp_path / "log", "999")
    go(holder)
    while not ((tmp_path / "log").exists() and (tmp_path / "log").read_text()):
        assert holder.poll() is None
    code = "import sys; from spf import store; store.WARN_AFTER = 0; "
    code += "H = ['--embedder', 'histogram']; "
    code += "from spf.cli import main; sys.exit(main(['analyze', sys.argv[1], '--no-plot', *H]))"
    process = harness.start(sys.executable, "-c", code, str(clip))
    assert "waiting for another process" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in harness.check_one_line(errors)
    assert len(list(user_cache().folder.glob("*.lock"))) == 1  # it is not the waiting one's
    holder.kill()
    holder.communicate()


def test_a_warm_leaderboard_decodes_nothing(tmp_path, monkeypatch):
    harness.without_plots(monkeypatch)
    folder = harness.two_generators(tmp_path / "clips", 1)
    cold = harness.run(folder, tmp_path / "cold", "embedder=histogram")
    forbid_decoding(monkeypatch)
    warm = harness.run(folder, tmp_path / "warm", "embedder=histogram")
    roots = [run.folder.root for run in (cold, warm)]
    assert (cold.code, warm.code, warm.results.reused) == (0, 0, 0)
    assert roots[0].name == roots[1].name
    assert harness.tables(roots[0]) == harness.tables(roots[1])
    for path in (roots[0] / "curves").rglob("*.csv"):
        assert path.read_bytes() == (roots[1] / path.relative_to(roots[0])).read_bytes()
    timings = [pd.read_parquet(root / "timings.parquet") for root in roots]
    assert [list(table["from_cache"]) for table in timings] == [[0.0] * 2, [1.0] * 2]
    assert "from_cache" not in harness.read_records(roots[1]).columns


def test_the_command_shows_and_clears(clip, capsys, monkeypatch):
    assert main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(str(user_cache().folder))
    assert [line.split()[1] for line in lines[1:]] == ["0", "0.0", "10.0"]
    assert not user_cache().folder.exists()  # to look changes nothing
    for embedder in ("histogram", "pixels"):
        assert main(["analyze", str(clip), "--no-plot", "--embedder", embedder]) == 0
    (user_cache().folder / "mine.txt").write_text("not the cache's")
    capsys.readouterr()
    for arguments, output in {
        "--embedder pixels": "entries  1\n",
        "": "entries  2\n",
        "--embedder siglip/b16-384": "entries  0\n",
        "--clear --embedder histogram": "removed 1 entries",
        "--clear": "removed 1 entries",
    }.items():
        assert main(["cache", *arguments.split()]) == 0
        assert output in capsys.readouterr().out
    assert [path.name for path in user_cache().folder.iterdir()] == ["mine.txt"]
    assert main(["cache", "--embedder", "pixel"]) == 2
    assert "did you mean pixels?" in harness.check_one_line(capsys.readouterr().err)
    monkeypatch.setenv("SPF_CACHE_SIZE", "much")
    for arguments in ("cache", f"analyze {clip} --no-plot"):
        assert main(arguments.split()) == 2
        assert "SPF_CACHE_SIZE" in harness.check_one_line(capsys.readouterr().err)
    assert main(["analyze", str(clip), "--no-plot", "--no-cache", "--embedder", "pixels"]) == 0
