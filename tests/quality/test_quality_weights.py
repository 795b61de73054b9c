"""VBench's weights: fetched and checked from a server of the tests, and loaded without running
anything that a file may hold; with random ones, every dimension gives what its own command gives.
"""

import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import clips
import harness
import pytest
import torch
from servers import CONTENT, Server, serving

from scripts import fetch_weights
from spf.cache import user_cache
from spf.quality import VBENCH_DIMENSIONS
from spf.quality.child import Inert, tensors_only
from spf.quality.vbench import VBench
from spf.quality.weights import CAMERA, FIRST_FRAME, QualityFile, fetched_hashes

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def models(tmp_path):
    """Where weights are fetched to."""
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
        monkeypatch.setattr(fetch_weights, "quality_names", lambda: table)
        yield Server


def fetch(capsys, name):
    return fetch_weights.main([f"quality={name}"]), *capsys.readouterr()


@pytest.mark.parametrize(("name", "how"), [("pinned", "as pinned"), ("loose", "noted")])
def test_fetching_verifies_and_notes(name, how, server, models, capsys):
    code, text, errors = fetch(capsys, name)
    assert code == 0, errors
    assert "fetched" in text
    assert how in text
    assert {path.name: path.read_bytes() for path in models.iterdir()} == {f"{name}.pth": CONTENT}
    assert fetched_hashes() == {f"models/{name}.pth": SHA256}
    code, text, _ = fetch(capsys, name)
    assert code == 0
    assert "already here" in text
    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on(server, models, capsys):
    file, server.stop_after = models / "pinned.pth", 1000
    code, _, errors = fetch(capsys, "pinned")
    assert code == 3
    assert f"{len(CONTENT) - 1000} bytes too early" in harness.check_one_line(errors)
    assert not file.exists()
    server.stop_after = None
    assert fetch(capsys, "pinned")[0] == 0
    assert server.asked == [None, "bytes=1000-"]
    assert file.read_bytes() == CONTENT
    file.unlink()
    server.content = CONTENT[::-1]
    code, _, errors = fetch(capsys, "pinned")
    assert code == 3
    assert "SHA-256" in harness.check_one_line(errors)
    assert not file.exists()


def test_a_server_that_refuses_is_one_line(server, models, capsys):
    server.status = 404
    code, _, errors = fetch(capsys, "pinned")
    assert code == 3
    line = harness.check_one_line(errors)
    assert "404" in line
    assert str(models / "pinned.pth") in line  # where to copy it to


def touch(path: str) -> None:
    Path(path).touch()


class Mischief:
    """Calls a function when it is unpickled."""

    def __init__(self, *call) -> None:
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_weights_runs_nothing(shell, zipped, tmp_path):
    """Even for a caller that does not mind: what is no tensor is inert, or nothing is loaded."""
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


ORACLE = """
import functools, os, sys, types, torch
torch.set_num_threads(1)
torch.load = functools.partial(torch.load, weights_only=False)
import vbench.launch.evaluate as command
command.dist_init = lambda: None
command.torch = types.SimpleNamespace(device=lambda _: torch.device("cpu"))
command.main()
"""
"""VBench's own command, on the processor, with files that are trusted because we wrote them."""


@pytest.mark.slow
def test_every_dimension_is_what_the_packages_command_gives(tmp_path, monkeypatch):
    """With random weights, which are taken for the published ones."""
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
    words = ["--videos_path", str(videos), "--mode", "custom_input", "--load_ckpt_from_local", "1"]
    custom = [name for name in VBENCH_DIMENSIONS if name not in (*FIRST_FRAME, CAMERA)]
    words += ["--output_path", str(tmp_path / "out"), "--dimension", *custom]
    words = [sys.executable, "-c", ORACLE, *words]
    done = harness.command(*words, timeout=400, TORCH_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (results,) = (tmp_path / "out").glob("*_eval_results.json")
    expected = json.loads(results.read_text())
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
