"""VBench on real encoded clips, as its own command scores them; and its weights, from a server of
the tests, which run nothing."""

import hashlib
import json
import os
import sys
import time
from dataclasses import replace
from math import nan
from pathlib import Path
from unittest.mock import Mock

import clips
import harness
import numpy as np
import psutil
import pytest
import torch
from servers import CONTENT, Server, serving

from scripts import fetch_weights
from spf.cache import user_cache
from spf.errors import ClipError, SpfError
from spf.quality import (
    DEFAULT_DIMENSIONS,
    VBENCH_DIMENSIONS,
    Conditions,
    Score,
    missing_package,
    missing_weights,
)
from spf.quality import vbench as vbench_module
from spf.quality.child import Inert, Refused, check_clip, tensors_only
from spf.quality.vbench import VBench, VBenchProcess
from spf.quality.weights import CAMERA, FIRST_FRAME, QualityFile
from spf.weights import LOCK, read_lock

FLICKERING = "temporal_flickering"
KNOWN = Conditions(np.zeros((128, 128, 3), np.uint8))
COMMAND = """
import functools, types, torch
torch.set_num_threads(1)
torch.load = functools.partial(torch.load, weights_only=False)
import vbench.launch.evaluate as command
command.dist_init = lambda: None
command.torch = types.SimpleNamespace(device=lambda _: torch.device("cpu"))
command.main()
"""
"""VBench's own command, on the processor, with files that are trusted because we wrote them."""


def scored(folder, out, *words, **environment):
    """What that command gives for the clips of a folder: dimension -> mean, and a row a clip."""
    words = ["--mode", "custom_input", "--output_path", str(out), *words]
    words = [sys.executable, "-c", COMMAND, "--videos_path", str(folder), *words]
    done = harness.command(*words, timeout=400, **environment)
    assert done.returncode == 0, done.stderr
    (results,) = out.glob("*_eval_results.json")
    return json.loads(results.read_text())


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VBENCH_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def quality(weights):
    made = VBench(device="cpu")
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Odd and tiny sizes, smooth and noisy, and names in which VBench reads meanings."""
    root = tmp_path_factory.mktemp("clips")
    clips.encode(root / "noise-3.mp4", clips.noise(12, 64, 96))
    clips.encode(root / "grey videos.mp4", clips.grey(9, 32, 32))
    clips.encode(root / "odd's.mp4", clips.noise(5, 33, 47), pix_fmt="yuv444p")
    clips.encode(root / "two.mp4", clips.noise(2, 128, 128))
    return root


def flickering(quality, clip, cache=None) -> Score:
    return quality.measure(clip, cache)[FLICKERING]


@pytest.mark.slow
def test_flickering_is_what_the_packages_command_gives(quality, folder, tmp_path, capfd):
    mean, found = scored(folder, tmp_path, "--dimension", FLICKERING)[FLICKERING]
    assert len(found) == 4
    before = dict(os.environ)
    ours = {path.name: flickering(quality, path).value for path in folder.iterdir()}
    assert ours == {Path(row["video_path"]).name: row["video_results"] for row in found}
    assert mean == pytest.approx(np.mean(list(ours.values())), abs=1e-12)
    assert capfd.readouterr() == ("", "")  # nothing of the package gets in here
    assert dict(os.environ) == before
    assert "vbench" not in sys.modules


def test_what_cannot_run_has_its_remedy(quality, folder):
    scores = quality.measure(folder / "two.mp4", None, KNOWN)
    assert list(scores) == list(DEFAULT_DIMENSIONS)
    assert scores.pop(FLICKERING).reason == ""
    for dimension, score in scores.items():
        assert score.value is None
        if package := missing_package(dimension):  # DreamSim's
            assert score.reason == f"not run: {package}"
        else:
            absent = missing_weights(dimension)
            assert score.reason.startswith(f"not run: weights {absent}")
            assert score.reason.endswith("get them by make weights QUALITY=vbench")


def test_other_weights_than_the_published_ones_are_not_run(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    (file,) = VBENCH_DIMENSIONS["imaging_quality"]
    harness.touch(tmp_path, file.name)
    (score,) = VBench(["imaging_quality"], device="cpu").measure(folder / "two.mp4").values()
    assert score.value is None
    assert "not the published ones" in score.reason
    assert "make weights QUALITY=vbench" in score.reason


@pytest.mark.parametrize(("count", "side", "fps", "dimension", "reason"), [
    (1, 128, 8, FLICKERING, "needs 2 frames, this clip has 1"),
    (2, 128, 8, "motion_smoothness", "needs 3 frames"),
    (6, 128, 24, "dynamic_degree", "this clip has 2"),
    (4, 112, 8, "motion_smoothness", "needs 113 x 113 pixels, this clip has 112 x 112"),
    (4, 120, 8, "dynamic_degree", "needs 121 x 121 pixels, this clip has 120 x 120"),
])  # fmt: skip
def test_what_a_dimension_does_not_take(count, side, fps, dimension, reason, tmp_path):
    clip = clips.encode(tmp_path / "a.mp4", clips.noise(count, side, side), rate=fps)
    with pytest.raises(Refused, match=reason):
        check_clip(dimension, clip)


def test_other_files_than_mp4_are_not_run(quality, tmp_path):
    for name, reason in (("a.gif", "VBench reads MP4 files"), ("a.mp4", "VBench reads no frame")):
        score = flickering(quality, harness.touch(tmp_path, name) / name)
        assert score.value is None
        assert reason in score.reason
    with clips.refused("cannot be read", ClipError):
        quality.measure(tmp_path / "none.mp4")


@pytest.mark.parametrize("reply", [{"value": 0.5}, {"refused": "too small"}])
def test_a_score_is_computed_once_for_the_same_bytes_and_packages(
    reply, folder, tmp_path, monkeypatch
):
    ask = Mock(return_value=reply)
    monkeypatch.setattr(VBenchProcess, "ask", ask)
    copy, cache = tmp_path / "copy.mp4", user_cache()
    copy.write_bytes((folder / "two.mp4").read_bytes())
    for path in (folder / "two.mp4", copy):
        quality = VBench([FLICKERING], device="cpu")
        score = flickering(quality, path, cache)
        assert score == Score(reply.get("value"), reply.get("refused", ""))
    assert ask.call_count == 1
    flickering(quality, copy)  # without a cache
    copy.write_bytes(copy.read_bytes() + b"\0")
    flickering(quality, copy, cache)
    assert ask.call_count == 3
    before = quality.identity()
    monkeypatch.setattr(vbench_module, "installed", lambda *_: {"vbench": "0.1.6"})
    flickering(quality, copy, cache)
    assert ask.call_count == 4
    assert quality.identity() != before


def test_the_time_limit_kills_the_whole_group(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nsleep 300 & echo $! > {tmp_path}/pid; wait\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    message = r"^clip\.mp4: VBench's dynamic_degree broke down: .* than 1 s; raise quality.time"
    with clips.refused(message, SpfError):
        VBenchProcess({}, "cpu").ask("dynamic_degree", Path("clip.mp4"), 1)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie":
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)


@pytest.mark.parametrize(("settings", "message"), [
    ({"dimensions": ["temporal_flikering"]}, "did you mean temporal_flickering"),
    ({"dimensions": []}, "at least one"),
    *(({"time_limit": x}, "a number above 0") for x in (0, nan)),
])  # fmt: skip
def test_bad_settings(settings, message):
    with clips.refused(message):
        VBench(**settings)


def test_without_the_package_nothing_is_run(folder, monkeypatch):
    here = VBench(device="cpu").identity()
    monkeypatch.setitem(sys.modules, "vbench", None)
    absent = VBench(device="cpu")
    scores = absent.measure(folder / "two.mp4", user_cache(), KNOWN)
    reason = "not run: the package vbench is absent, get it by make setup"
    assert {*scores.values()} == {Score(None, reason)}
    assert absent.identity() != here


SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def models(tmp_path):
    return tmp_path / "vbench" / "models"


@pytest.fixture
def server(models, monkeypatch):
    """A server of the weights; an empty folder for them; `quality=pinned` and `quality=loose`."""
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(models.parent))
    monkeypatch.setattr(Server, "content", CONTENT)
    with serving(Server, monkeypatch) as address:
        pinned = QualityFile("models/pinned.pth", f"{address}/model.pth", SHA256)
        loose = QualityFile("models/loose.pth", pinned.url)
        table = {"pinned": [pinned], "loose": [loose]}
        monkeypatch.setitem(fetch_weights.KNOWN, "quality", table)
        yield Server


@pytest.fixture
def fetch(server, capsys):
    """A name -> exit code and output of the command; where it fails, one line."""

    def fetch(name):
        code, (text, errors) = fetch_weights.main([f"quality={name}"]), capsys.readouterr()
        return code, harness.check_one_line(errors) if code else text

    return fetch


@pytest.mark.parametrize(("name", "how"), [("pinned", "as pinned"), ("loose", "noted")])
def test_fetching_verifies_and_notes(name, how, server, models, fetch):
    code, text = fetch(name)
    assert (code, "fetched" in text, how in text) == (0, True, True)
    assert {path.name: path.read_bytes() for path in models.iterdir()} == {f"{name}.pth": CONTENT}
    assert read_lock(models.parent / LOCK)["fetched"] == {f"models/{name}.pth": SHA256}
    code, text = fetch(name)
    assert (code, "already here" in text) == (0, True)
    assert len(server.asked) == 1


def test_another_content_is_refused_and_removed(server, models, fetch):
    server.content = CONTENT[::-1]
    code, line = fetch("pinned")
    assert (code, "SHA-256" in line) == (3, True)
    assert not (models / "pinned.pth").exists()


def test_a_server_that_refuses_is_one_line(server, models, fetch):
    server.status = 404
    code, line = fetch("pinned")
    assert (code, "404" in line) == (3, True)
    assert str(models / "pinned.pth") in line  # where to copy it to


def touch(path):
    Path(path).touch()


class Mischief:
    def __init__(self, *call) -> None:
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_weights_runs_nothing(shell, zipped, tmp_path):
    ran = str(tmp_path / "ran")
    more = Mischief(os.system, f"touch {ran}") if shell else Mischief(touch, ran)
    content = {"weight": torch.arange(3), "more": more}
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    load = tensors_only(torch.load)
    if zipped and not shell:
        found = load(str(path), weights_only=False)
        assert found["weight"].tolist() == [0, 1, 2]
        assert isinstance(found["more"], Inert)
    else:
        with pytest.raises(Exception, match="Weights only load failed"):
            load(str(path), weights_only=False)
    assert not (tmp_path / "ran").exists()
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists()  # it would have


@pytest.mark.slow
def test_every_dimension_is_what_the_packages_command_gives(tmp_path, monkeypatch):
    weights, videos, hub = (tmp_path / x for x in ("random", "videos", "hub/checkpoints"))
    script = str(harness.ROOT / "tests" / "helpers" / "vbench_weights.py")
    done = harness.command(sys.executable, script, str(weights), timeout=400)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(weights))
    for dimension, files in VBENCH_DIMENSIONS.items():
        unpinned = tuple(replace(file, sha256=None) for file in files)
        monkeypatch.setitem(VBENCH_DIMENSIONS, dimension, unpinned)
    videos.mkdir()
    hub.mkdir(parents=True)
    clips.encode(videos / "a.mp4", clips.noise(5, 128, 144), rate=8)
    clips.encode(videos / "b.mp4", clips.noise(4, 128, 128, seed=1), rate=8)
    dino = "dino_vitbase16_pretrain.pth"
    (hub / dino).symlink_to(weights / "dino_model" / dino)
    custom = [name for name in VBENCH_DIMENSIONS if name not in (*FIRST_FRAME, CAMERA)]
    words = ["--load_ckpt_from_local", "1", "--dimension", *custom]
    expected = scored(videos, tmp_path / "out", *words, TORCH_HOME=str(tmp_path))
    quality, cache = VBench(device="cpu"), user_cache()
    try:
        for path in sorted(videos.iterdir()):
            scores = quality.measure(path, cache)
            for dimension, (_, rows) in expected.items():
                (row,) = [row for row in rows if row["video_path"].endswith(path.name)]
                theirs = row["video_results"] / (100 if dimension == "imaging_quality" else 1)
                assert scores[dimension].value == pytest.approx(theirs, abs=1e-6), dimension
            assert quality.measure(path, cache) == scores
        tiny = clips.encode(tmp_path / "tiny.mp4", clips.noise(3, 32, 32), rate=8)
        refused = {name for name, score in quality.measure(tiny).items() if score.value is None}
        assert refused == {"motion_smoothness", "dynamic_degree", *FIRST_FRAME}
    finally:
        quality.close()
