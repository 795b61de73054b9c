"""VBench on real encoded clips, as its own command scores them, in a process of its own."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clips
import harness
import numpy as np
import psutil
import pytest

from spf.cache import Cache, user_cache
from spf.errors import ClipError, ConfigError, SpfError
from spf.quality import (
    DEFAULT_DIMENSIONS,
    VBENCH_DIMENSIONS,
    Conditions,
    Score,
    missing_package,
    missing_weights,
)
from spf.quality import vbench as vbench_module
from spf.quality.child import Refused, check_clip
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
    known = Conditions(np.zeros((128, 128, 3), np.uint8))
    scores = quality.measure(folder / "two.mp4", None, known)
    assert list(scores) == list(DEFAULT_DIMENSIONS)
    for dimension, score in scores.items():
        if dimension == FLICKERING:
            assert score.reason == ""
        elif package := missing_package(dimension):  # DreamSim's
            assert score == Score(None, f"not run: {package}")
        else:
            assert score.value is None
            said = f"not run: weights {missing_weights(dimension)[0]}"
            assert score.reason.startswith(said)
            assert score.reason.endswith("get them by make weights QUALITY=vbench")


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


@pytest.mark.parametrize("reply", [{"value": 0.5}, {"refused": "too small"}])
def test_a_score_is_computed_once_for_the_same_bytes_and_packages(
    reply: dict[str, Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def ask(self: object, dimension: str, clip: Path, *_: object) -> dict[str, Any]:
        names.append(clip.name)
        return reply

    monkeypatch.setattr(VBenchProcess, "ask", ask)
    copy, cache = tmp_path / "copy.mp4", user_cache()
    copy.write_bytes((folder / "two.mp4").read_bytes())
    for path in (folder / "two.mp4", copy):
        quality = VBench([FLICKERING], device="cpu")
        score = flickering(quality, path, cache)
        assert score == Score(reply.get("value"), reply.get("refused", ""))
    assert names == ["two.mp4"]
    flickering(quality, copy)  # without a cache
    copy.write_bytes(copy.read_bytes() + b"\0")
    flickering(quality, copy, cache)
    assert names == ["two.mp4", "copy.mp4", "copy.mp4"]
    before = quality.identity()
    monkeypatch.setattr(vbench_module, "installed", lambda *_: {"vbench": "0.1.6"})
    flickering(quality, copy, cache)
    assert len(names) == 4
    assert quality.identity() != before


def test_the_time_limit_kills_the_whole_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a shell script that stands in for Python, and of the process that it starts."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nsleep 300 & echo $! > {tmp_path}/pid; wait\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    said = r"^clip\.mp4: VBench's dynamic_degree broke down: .*longer than 1 s; raise quality.time"
    with pytest.raises(SpfError, match=said) as error:
        VBenchProcess({}, "cpu").ask("dynamic_degree", Path("clip.mp4"), 1)
    clips.one_line(error)
    (pid,) = (tmp_path / "pid").read_text().split()
    for _ in range(200):
        if not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == "zombie":
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dimensions": ["temporal_flikering"]}, "did you mean temporal_flickering"),
        ({"dimensions": []}, "at least one"),
        ({"time_limit": 0}, "a number above 0"),
        ({"time_limit": math.nan}, "a number above 0"),
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
    known = Conditions(np.zeros((128, 128, 3), np.uint8))
    for score in absent.measure(folder / "two.mp4", user_cache(), known).values():
        assert score == Score(None, "not run: the package vbench is absent, get it by make setup")
    assert absent.identity() != here
