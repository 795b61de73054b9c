"""`spf corpus`, the command, up to the start of Ray: who may work, what is removed, which words."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import clips
import harness
import pyarrow as pa
import pytest
from filelock import FileLock

from spf.cli import main
from spf.commands.corpus import GPU_DECODERS, _crew
from spf.corpus import pipeline
from spf.corpus.inputs import open_listing
from spf.corpus.pipeline import LOCK, PREFIX, Crew, local_or_remote
from spf.corpus.rows import DONE, Measuring, as_table
from spf.corpus.run import LOCK as OUTPUT_LOCK
from spf.corpus.run import make_corpus
from spf.errors import ConfigError, UnavailableError

# Who may work


def test_an_output_in_use_is_refused_at_once(tmp_path: Path) -> None:
    harness.touch(tmp_path, "in/0.mp4")
    (tmp_path / "out").mkdir()
    given = open_listing(tmp_path / "in"), tmp_path / "out", Measuring("pixels"), Crew(1)
    refused = pytest.raises(ConfigError, match="another process is making this corpus")
    with FileLock(tmp_path / "out" / OUTPUT_LOCK), refused as error:
        make_corpus(*given)
    clips.one_line(error)


def test_shards_are_reported_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that Ray has started again learns by the next report where the work is."""
    harness.touch(tmp_path, *[f"in/{number}.mp4" for number in range(5)])
    reported: list[int] = []

    def measured(*_: object) -> Iterator[tuple[pa.Table, object]]:
        for first in (2, 0, 4):
            rows = [
                {"index": index, "path": f"{index}.mp4", "status": DONE, "reason": ""}
                for index in range(first, min(first + 2, 5))
            ]
            yield as_table(rows, False), reported.append

    monkeypatch.setattr("spf.corpus.run.measured", measured)
    monkeypatch.setattr("spf.corpus.run.local_or_remote", lambda _: nullcontext())
    (tmp_path / "out").mkdir()
    listing = open_listing(tmp_path / "in")
    made = make_corpus(listing, tmp_path / "out", Measuring("pixels"), Crew(1), 2)
    assert (made.measured, reported) == (5, [1, 2, 3])


# What a killed command has left


def test_only_own_folders_of_ended_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SHORT", tmp_path / "tmp")
    kept = harness.touch(tmp_path, "elsewhere/a", f"elsewhere/{LOCK}", "file") / "elsewhere"
    for name in ("ended", "locked", "new", "old", "linked-lock", "theirs"):
        harness.touch(tmp_path / "tmp", f"{PREFIX}{name}/a")
    folder = {path.name.removeprefix(PREFIX): path for path in (tmp_path / "tmp").iterdir()}
    for name in ("ended", "locked", "theirs"):
        harness.touch(folder[name], LOCK)
    os.utime(folder["old"], (0, 0))
    (folder["linked-lock"] / LOCK).symlink_to(tmp_path / "file")
    (tmp_path / "tmp" / f"{PREFIX}link").symlink_to(kept, target_is_directory=True)
    lstat = Path.lstat
    other = os.stat_result((stat.S_IFDIR | 0o777, 0, 0, 1, os.geteuid() + 1, 0, 0, 0, 0, 0))
    monkeypatch.setattr(
        Path, "lstat", lambda self: other if self == folder["theirs"] else lstat(self)
    )
    with open(folder["locked"] / LOCK, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pipeline._remove_left()
    left = {path.name.removeprefix(PREFIX) for path in (tmp_path / "tmp").iterdir()}
    assert left == {"locked", "new", "linked-lock", "theirs", "link"}
    assert sorted(path.name for path in kept.iterdir()) == sorted(["a", LOCK])
    assert (kept / LOCK).read_bytes() == (tmp_path / "file").read_bytes() == b"x"
    assert (folder["locked"] / LOCK).read_bytes() == b"x"
    assert not (folder["new"] / LOCK).exists()


# The command


def test_without_ray_the_command_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    harness.touch(tmp_path, "in/a.mp4")
    assert main(["corpus", str(tmp_path / "in"), str(tmp_path / "out")]) == 3
    text = harness.check_one_line(capsys.readouterr().err)
    assert text == "spf corpus needs the extra corpus: pip install 'semantic-progress[corpus]'"
    assert not (tmp_path / "out").exists()


def test_a_ray_that_does_not_start_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
    starts = []

    def init(*_: object, **given: object) -> None:
        starts.append(given["_temp_dir"])
        raise Exception("The node timed out\nduring startup")

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(UnavailableError, match="node timed out during startup") as error,
        local_or_remote(Crew(1)),
    ):
        pytest.fail("there is no Ray")
    clips.one_line(error)
    assert len(starts) == 2
    assert not Path(str(starts[0])).exists()
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


def test_a_ray_that_is_there_is_used_and_the_environment_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = dict(os.environ)
    with local_or_remote(Crew(1)):
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpus", "1", "--workers", "1"], "contradict"),
        (["--gpus", "1", "--device", "cpu"], "contradict"),
        (["--embedder", "pixels", "--gpus", "1"], "runs on the CPU"),
        (["--embedder", "pixels", "--device", "cuda"], "runs on the CPU"),
        (["--device", "cuda", "--workers", "1"], "contradict"),
        (["--address", "host:1"], "give --gpus N or --workers N"),
        (["--address", "host:1", "--device", "cuda"], "give --gpus N or --workers N"),
        (["--address", "host:1", "--device", "cuda", "--workers", "2"], "contradict"),
        (["--device", "tpu"], "'auto', 'cpu', 'cuda'"),
        (["--embedder", "pixles"], "did you mean pixels"),
        (["--stride", "0"], "stride"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
    harness.touch(tmp_path, "in/a.mp4")
    assert main(["corpus", str(tmp_path / "in"), str(tmp_path / "out"), *words]) == 2
    assert said in harness.check_one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "crew"),
    [
        ({"workers": 3}, Crew(3)),
        ({"workers": 3, "device": "cpu", "decoders": 2}, Crew(3, decoders=2)),
        ({"gpus": 2}, Crew(2, True, GPU_DECODERS)),
        ({"gpus": 2, "device": "cuda"}, Crew(2, True, GPU_DECODERS)),
        ({"device": "cuda"}, Crew(4, True, GPU_DECODERS)),
        ({}, Crew(4, True, GPU_DECODERS)),
        ({"device": "cpu"}, Crew(len(os.sched_getaffinity(0)))),
        ({"address": "auto", "gpus": 9}, Crew(9, True, GPU_DECODERS, "auto")),
        ({"address": "auto", "gpus": 9, "device": "cuda"}, Crew(9, True, GPU_DECODERS, "auto")),
        ({"address": "auto", "workers": 9}, Crew(9, address="auto")),
    ],
)
def test_who_works_is_what_was_asked_for(
    words: dict[str, Any], crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with four GPUs."""
    monkeypatch.setattr("spf.devices.cuda_devices", lambda: 4)
    assert _crew("siglip", **words) == crew


@pytest.mark.parametrize("count", ["x", "0", "1.5"])
def test_counts_are_whole_numbers(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "in", "out", "--workers", count]) == 2
    assert "'--workers'" in harness.check_one_line(capsys.readouterr().err)


def test_a_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
    harness.touch(tmp_path, "in/a.mp4", "file")
    assert main(["corpus", str(tmp_path / "in"), str(tmp_path / "file" / "out")]) == 2
    text = harness.check_one_line(capsys.readouterr().err)
    assert "choose another" in text
    assert "--out" not in text
