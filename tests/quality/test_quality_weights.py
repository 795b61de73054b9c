"""VBench's weights: fetched and checked from a server of the tests, and loaded without running
anything that a file may hold; with random ones, every dimension gives what its own command gives.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import harness
import pytest
from servers import CONTENT, Server, serving

from scripts import fetch_weights
from spf.cache import user_cache
from spf.quality import VBENCH_DIMENSIONS
from spf.quality.child import Inert, tensors_only
from spf.quality.vbench import VBench
from spf.quality.weights import CAMERA, FIRST_FRAME, QualityFile, fetched_hashes

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    """A server of the weights; an empty folder for them; `quality=pinned` and `quality=loose`."""
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "vbench"))
    monkeypatch.setattr(Server, "content", CONTENT)
    with serving(Server, monkeypatch) as address:
        pinned = QualityFile("models/pinned.pth", f"{address}/model.pth", SHA256)
        loose = QualityFile("models/loose.pth", pinned.url)
        table = {"pinned": [pinned], "loose": [loose]}
        monkeypatch.setattr(fetch_weights, "quality_words", lambda: table)
        yield Server


def fetch(capsys: pytest.CaptureFixture[str], word: str) -> tuple[int, str, str]:
    code = fetch_weights.main([f"quality={word}"])
    return code, *capsys.readouterr()


def here(word: str) -> Path:
    return Path(os.environ["VBENCH_CACHE_DIR"]) / "models" / f"{word}.pth"


@pytest.mark.parametrize(("word", "how"), [("pinned", "as pinned"), ("loose", "noted")])
def test_fetching_verifies_and_notes(
    word: str, how: str, server: type[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, errors = fetch(capsys, word)
    assert code == 0, errors
    assert "fetched" in text
    assert how in text
    assert here(word).read_bytes() == CONTENT
    assert fetched_hashes() == {f"models/{word}.pth": SHA256}
    code, text, _ = fetch(capsys, word)
    assert code == 0
    assert "already here" in text
    assert len(server.asked) == 1
    names = {path.name for path in here(word).parent.iterdir()}
    assert names == {here(word).name}


def test_an_interrupted_download_goes_on(
    server: type[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server.stop_after = 1000
    code, _, errors = fetch(capsys, "pinned")
    assert code == 3
    assert f"{len(CONTENT) - 1000} bytes too early" in harness.check_one_line(errors)
    assert not here("pinned").exists()
    server.stop_after = None
    assert fetch(capsys, "pinned")[0] == 0
    assert server.asked == [None, "bytes=1000-"]
    assert here("pinned").read_bytes() == CONTENT
    here("pinned").unlink()
    server.content = CONTENT[::-1]
    code, _, errors = fetch(capsys, "pinned")
    assert code == 3
    assert "SHA-256" in harness.check_one_line(errors)
    assert not here("pinned").exists()


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_that_refuses_is_one_line(
    status: int, server: type[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = status
    code, _, errors = fetch(capsys, "pinned")
    assert code == 3
    line = harness.check_one_line(errors)
    assert str(status) in line
    assert str(here("pinned")) in line  # where to copy it to


def test_offline_is_respected(tmp_path: Path) -> None:
    script = str(harness.ROOT / "scripts" / "fetch_weights.py")
    folder = str(tmp_path / "vbench")
    words = [sys.executable, script, "quality=vbench"]
    done = harness.command(*words, HF_HUB_OFFLINE="1", VBENCH_CACHE_DIR=folder)
    assert done.returncode == 3
    assert "HF_HUB_OFFLINE" in harness.check_one_line(done.stderr)
    assert not Path(folder).exists()


class Mischief:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return made, (str(self.path),)


def made(path: str) -> None:
    Path(path).touch()


class Shell(Mischief):
    """The same by a shell."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("kind", [Mischief, Shell])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_weights_runs_nothing(kind: type, zipped: bool, tmp_path: Path) -> None:
    """Even for a caller that does not mind: what is no tensor is inert, or nothing is loaded."""
    import torch

    content = {"weight": torch.arange(3), "more": kind(tmp_path / "ran")}
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    load = tensors_only(torch.load)
    if zipped and kind is Mischief:
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


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of random weights, which are taken for the published ones."""
    folder = tmp_path_factory.mktemp("random")
    script = str(harness.ROOT / "tests" / "helpers" / "vbench_weights.py")
    done = harness.command(sys.executable, script, str(folder), timeout=400)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VBENCH_CACHE_DIR", str(folder))
        for dimension, files in VBENCH_DIMENSIONS.items():
            unpinned = tuple(replace(file, sha256=None) for file in files)
            patch.setitem(VBENCH_DIMENSIONS, dimension, unpinned)  # type: ignore[arg-type]
        yield folder


@pytest.mark.slow
def test_every_dimension_is_what_the_packages_command_gives(
    random_weights: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    clips.encode(videos / "a.mp4", clips.noise(5, 128, 144), rate=8)
    clips.encode(videos / "b.mp4", clips.noise(4, 128, 128, seed=1), rate=8)
    hub = tmp_path / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    dino = "dino_vitbase16_pretrain.pth"
    (hub / dino).symlink_to(random_weights / "dino_model" / dino)
    words = ["--videos_path", str(videos), "--mode", "custom_input", "--load_ckpt_from_local", "1"]
    custom = [name for name in VBENCH_DIMENSIONS if name not in (*FIRST_FRAME, CAMERA)]
    words += ["--output_path", str(tmp_path / "out"), "--dimension", *custom]
    done = harness.command(
        sys.executable, "-c", ORACLE, *words, timeout=400, TORCH_HOME=str(tmp_path)
    )
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
