"""VBench on real encoded clips, as its own command scores them, in a process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import clips
import harness
import numpy as np
import pytest

from spf.cache import Cache, user_cache
from spf.child import Child
from spf.errors import ClipError, ConfigError, SpfError
from spf.quality import VBENCH_DIMENSIONS, Score, missing_weights
from spf.quality import vbench as vbench_module
from spf.quality.child import MINIMAL_FRAMES, Refused, check_clip, look
from spf.quality.process import VBenchProcess
from spf.quality.vbench import VBench

FLICKERING = "temporal_flickering"
COMMAND = "import vbench.launch.evaluate as e; e.dist_init = lambda: None; e.main()"
"""What `vbench evaluate` runs, but for its start of NCCL, without which it needs no GPU."""


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder without weights, whatever this machine has."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VBENCH_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def quality(weights: Path) -> Iterator[VBench]:
    """All dimensions, of which one can run; one child process for all tests."""
    made = VBench(device="cpu")
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Odd and tiny sizes, smooth and noisy, and names in which VBench reads meanings."""
    root = tmp_path_factory.mktemp("clips")
    clips.encode(root / "noise-3.mp4", clips.noise(12, 64, 96))
    clips.encode(root / "grey videos.mp4", clips.grey(9, 32, 32))
    clips.encode(root / "odd's.mp4", clips.noise(5, 33, 47), pix_fmt="yuv444p")
    clips.encode(root / "two.mp4", clips.noise(2, 128, 128))
    return root


def flickering(quality: VBench, clip: Path, cache: Cache | None = None) -> Score:
    return quality.measure(clip, cache)[FLICKERING]


# Scores


def test_flickering_is_what_the_packages_command_gives(
    quality: VBench, folder: Path, tmp_path: Path
) -> None:
    words = ["--videos_path", str(folder), "--dimension", FLICKERING, "--mode", "custom_input"]
    words += ["--output_path", str(tmp_path)]
    done = harness.command(sys.executable, "-c", COMMAND, *words, timeout=400)
    (results,) = tmp_path.glob("*_eval_results.json")
    mean, found = json.loads(results.read_text())[FLICKERING]
    assert len(found) == 4, done.stderr
    ours = {path.name: flickering(quality, path).value for path in folder.iterdir()}
    assert ours == {Path(row["video_path"]).name: row["video_results"] for row in found}
    assert mean == pytest.approx(np.mean(list(ours.values())), abs=1e-12)


def test_what_cannot_run_says_how_to_get_it(quality: VBench, folder: Path) -> None:
    scores = quality.measure(folder / "two.mp4")
    assert list(scores) == list(VBENCH_DIMENSIONS)
    for dimension, score in scores.items():
        if dimension == FLICKERING:
            assert score.reason == ""
            continue
        assert score.value is None
        assert score.reason.startswith("not run: weights ")
        assert score.reason.endswith("get them by make weights QUALITY=vbench")
        assert all(name in score.reason for name in missing_weights(dimension))


def test_other_weights_than_the_published_ones_are_not_run(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    (file,) = VBENCH_DIMENSIONS["imaging_quality"]
    file.path.parent.mkdir()
    file.path.write_bytes(b"others")
    quality = VBench(["imaging_quality"], device="cpu")
    (score,) = quality.measure(folder / "two.mp4").values()
    assert score.value is None
    assert "not the published ones" in score.reason
    assert "make weights QUALITY=vbench" in score.reason


@pytest.mark.parametrize(
    ("count", "side", "fps", "dimension", "reason"),
    [
        (1, 128, 8, FLICKERING, "needs 2 frames, this clip has 1"),
        (2, 128, 8, "motion_smoothness", "needs 3 frames"),
        (6, 128, 24, "dynamic_degree", "this clip has 2"),
        (4, 112, 8, "motion_smoothness", "needs 113 x 113 pixels, this clip has 112 x 112"),
        (4, 120, 8, "dynamic_degree", "needs 121 x 121 pixels, this clip has 120 x 120"),
    ],
)
def test_what_a_dimension_does_not_take(
    count: int, side: int, fps: int, dimension: str, reason: str, tmp_path: Path
) -> None:
    clip = clips.encode(tmp_path / "a.mp4", clips.noise(count, side, side), rate=fps)
    with pytest.raises(Refused, match=reason):
        check_clip(dimension, clip)


def test_what_the_dimensions_take(tmp_path: Path) -> None:
    """The smallest of each: no more is refused than must be."""
    assert set(MINIMAL_FRAMES) == set(VBENCH_DIMENSIONS)
    for dimension, count in MINIMAL_FRAMES.items():
        clip = clips.encode(tmp_path / f"{dimension}.mp4", clips.noise(count, 128, 128), rate=8)
        check_clip(dimension, clip)
        assert look(str(clip))[:3] == (count, 128, 128)


def test_other_files_than_mp4_say_so(quality: VBench, tmp_path: Path) -> None:
    for name, said in (("a.gif", "VBench reads MP4 files"), ("a.mp4", "VBench reads no frame")):
        (tmp_path / name).write_bytes(b"x")
        score = flickering(quality, tmp_path / name)
        assert score.value is None
        assert said in score.reason
    with pytest.raises(ClipError, match="cannot be read"):
        quality.measure(tmp_path / "none.mp4")


def test_nothing_of_the_package_gets_in_here(
    quality: VBench, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    assert flickering(quality, folder / "two.mp4").value is not None
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == before
    assert "vbench" not in sys.modules


# The cache


def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the clips that are computed from now on, all with the score 0.5."""
    names: list[str] = []

    def ask(self: object, dimension: str, clip: Path, seconds: float) -> dict[str, float]:
        names.append(clip.name)
        return {"value": 0.5}

    monkeypatch.setattr(VBenchProcess, "ask", ask)
    return names


def test_a_score_is_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, cache = asked(monkeypatch), user_cache()
    for _ in range(2):
        fresh = VBench([FLICKERING], device="cpu")
        assert flickering(fresh, folder / "two.mp4", cache) == Score(0.5)
    assert names == ["two.mp4"]
    flickering(fresh, folder / "two.mp4")  # without a cache
    assert names == ["two.mp4"] * 2


def test_bytes_and_packages_are_part_of_the_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, cache = asked(monkeypatch), user_cache()
    quality = VBench([FLICKERING], device="cpu")
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((folder / "two.mp4").read_bytes())
    flickering(quality, folder / "two.mp4", cache)
    flickering(quality, copy, cache)
    assert names == ["two.mp4"]  # the same bytes
    copy.write_bytes(copy.read_bytes() + b"\0")
    flickering(quality, copy, cache)
    assert names == ["two.mp4", "copy.mp4"]
    before = quality.identity()
    monkeypatch.setattr(vbench_module, "installed", lambda *_: {"vbench": "0.1.6"})
    flickering(quality, copy, cache)
    assert names == ["two.mp4", "copy.mp4", "copy.mp4"]
    assert quality.identity() != before


# The process


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell script that is started in place of Python; write it."""
    script = tmp_path / "python"
    script.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return script


def ask(script: Path, body: str, seconds: float = 20) -> VBenchProcess:
    """Ask a stand-in; the clip's name is in the error."""
    script.write_text(f"#!/bin/sh\n{body}\n")
    process = VBenchProcess({}, "cpu")
    with pytest.raises(SpfError, match=r"^clip\.mp4: VBench's dynamic_degree broke down") as error:
        process.ask("dynamic_degree", Path("clip.mp4"), seconds)
    process.reason = clips.one_line(error)  # type: ignore[attr-defined]
    return process


def test_nonsense_is_no_reply(stand_in: Path) -> None:
    assert "sent what is no reply" in ask(stand_in, "read line; echo loading; sleep 60").reason  # type: ignore[attr-defined]


def test_the_time_limit_kills_the_whole_group(stand_in: Path, tmp_path: Path) -> None:
    process = ask(stand_in, f"sleep 300 & echo $! > {tmp_path}/pid; wait", seconds=1)
    assert "longer than 1 s; raise quality.time_limit" in process.reason  # type: ignore[attr-defined]
    gone_soon(int((tmp_path / "pid").read_text()))
    assert not process._folder.exists()


def test_ctrl_c_leaves_nothing_running(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    stand_in.write_text("#!/bin/sh\nsleep 300\n")
    monkeypatch.setattr(Child, "line", interrupt)
    process = VBenchProcess({}, "cpu")
    with pytest.raises(KeyboardInterrupt):
        process.ask(FLICKERING, Path("clip.mp4"), 5)
    assert process._child is None
    assert not process._folder.exists()


def test_the_child_ends_with_its_input(tmp_path: Path) -> None:
    """However the parent ended; and it cleans up."""
    made = tmp_path / "made"
    made.mkdir()
    words = [sys.executable, "-m", "spf.quality.child", str(made), "cpu"]
    done = subprocess.run(words, input=b"", env=harness.environment(), timeout=60, check=False)
    assert done.returncode == 0
    assert not made.exists()


def gone_soon(pid: int) -> None:
    """Wait for a process to be gone, or a zombie that nobody has waited for."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


# Settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dimensions": ["temporal_flikering"]}, "did you mean temporal_flickering"),
        ({"dimensions": []}, "at least one"),
        ({"time_limit": 0}, "seconds above 0"),
        ({"time_limit": math.nan}, "seconds above 0"),
    ],
)
def test_bad_settings(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        VBench(**settings)  # type: ignore[arg-type]


def test_without_the_package_nothing_is_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are none of those that it gave while it was there, and a run goes on without it."""
    here = VBench(device="cpu").identity()
    monkeypatch.setitem(sys.modules, "vbench", None)
    absent = VBench(device="cpu")
    for score in absent.measure(folder / "two.mp4", user_cache()).values():
        assert score == Score(None, "not run: the package vbench is absent, get it by make setup")
    assert absent.identity() != here
