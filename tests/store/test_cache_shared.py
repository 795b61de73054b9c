"""The cache among processes, in the leaderboard and on the command line."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import harness
import pandas as pd
import pytest
from test_cache import forbid_decoding

import spf
from spf.cache import user_cache
from spf.cli import main

# Embeds argv[1] when it is told to; a line in argv[2] says that it computed and did not wait.
PROCESS = """
import hashlib, sys, time
import spf, spf.measurement
original = spf.measurement.embed_clip
def embed_clip(*given):
    with open(sys.argv[2], "a") as file:
        file.write("computed\\n")
    time.sleep(float(sys.argv[3]))
    return original(*given)
spf.measurement.embed_clip = embed_clip
print("ready", flush=True)
sys.stdin.readline()
print(hashlib.sha256(spf.embed(sys.argv[1], "histogram").tobytes()).hexdigest())
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return harness.save(tmp_path / "clip.mp4", harness.jumping())


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    """Fail instead of waiting for ever."""

    def ring(*_: object) -> None:
        pytest.fail("still waiting")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def started(clip: Path, log: Path) -> subprocess.Popen[str]:
    """A process that computes the entry of a clip, and takes long."""
    process = harness.start(sys.executable, "-c", PROCESS, str(clip), str(log), "999", talk=True)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    while not (log.exists() and log.read_text()):
        assert process.poll() is None
    return process


def test_of_four_processes_one_computes(clip: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = [sys.executable, "-c", PROCESS, str(clip), str(log), "1"]
    running = [harness.start(*words, talk=True) for _ in range(4)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in running]
    assert [errors for _, errors in answers] == [""] * 4
    assert len({output for output, _ in answers}) == 1
    assert log.read_text() == "computed\n"
    assert len(list(user_cache().folder.iterdir())) == 1


def test_the_lock_of_a_killed_process_is_free(clip: Path, tmp_path: Path) -> None:
    process = started(clip, tmp_path / "log")
    process.kill()
    process.communicate()
    assert len(list(user_cache().folder.glob("*.lock"))) == 1
    spf.embed(clip, "histogram")
    assert len(user_cache().entries()) == 1
    assert not list(user_cache().folder.glob("*.lock"))


def test_ctrl_c_ends_the_waiting(clip: Path, tmp_path: Path) -> None:
    code = "import sys; from spf import store; store.TELL_AFTER = 0; "
    code += "H = ['--embedder', 'histogram']; "
    code += "from spf.cli import main; sys.exit(main(['analyze', sys.argv[1], '--no-plot', *H]))"
    holder = started(clip, tmp_path / "log")
    process = harness.start(sys.executable, "-c", code, str(clip))
    assert process.stderr is not None
    assert "waiting for another process" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in harness.check_one_line(errors)
    assert len(list(user_cache().folder.glob("*.lock"))) == 1  # it is not the waiting one's
    holder.kill()
    holder.communicate()


def test_a_warm_leaderboard_decodes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.without_plots(monkeypatch)
    folder = harness.two_generators(tmp_path / "clips", 1)
    cold = harness.run(folder, tmp_path / "cold")
    forbid_decoding(monkeypatch)
    warm = harness.run(folder, tmp_path / "warm")
    assert (cold.code, warm.code) == (0, 0)
    assert warm.results.reused == 0
    assert warm.folder.root.name == cold.folder.root.name
    assert harness.tables(warm.folder.root) == harness.tables(cold.folder.root)
    for path in (cold.folder.root / "curves").rglob("*.csv"):
        other = warm.folder.root / path.relative_to(cold.folder.root)
        assert path.read_bytes() == other.read_bytes()
    kept = [pd.read_parquet(run.folder.root / "timings.parquet") for run in (cold, warm)]
    assert [list(table["from_cache"]) for table in kept] == [[0.0] * 2, [1.0] * 2]
    assert "from_cache" not in harness.read_records(warm.folder.root).columns


def test_the_command_shows_and_clears(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(str(user_cache().folder))
    assert [line.split()[1] for line in lines[1:]] == ["0", "0.0", "10.0"]
    assert not user_cache().folder.exists()  # to look changes nothing
    for embedder in ("histogram", "pixels"):
        assert main(["analyze", str(clip), "--no-plot", "--embedder", embedder]) == 0
    (user_cache().folder / "mine.txt").write_text("not the cache's")
    capsys.readouterr()
    for words, said in (
        (["--embedder", "pixels"], "entries  1\n"),
        ([], "entries  2\n"),
        (["--embedder", "siglip/b16-384"], "entries  0\n"),
        (["--clear", "--embedder", "histogram"], "removed 1 entries"),
        ([], "entries  1\n"),
        (["--clear"], "removed 1 entries"),
        (["--clear"], "removed 0 entries"),
    ):
        assert main(["cache", *words]) == 0
        assert said in capsys.readouterr().out
    assert [path.name for path in user_cache().folder.iterdir()] == ["mine.txt"]


def test_wrong_words_exit_2(
    clip: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["cache", "--embedder", "pixel"]) == 2
    assert "did you mean pixels?" in harness.check_one_line(capsys.readouterr().err)
    monkeypatch.setenv("SPF_CACHE_SIZE", "much")
    for words in (["cache"], ["analyze", str(clip), "--no-plot"]):
        assert main(words) == 2
        assert "SPF_CACHE_SIZE" in harness.check_one_line(capsys.readouterr().err)
    assert main(["analyze", str(clip), "--no-plot", "--no-cache", "--embedder", "pixels"]) == 0
