"""LPIPS between frames, with random weights in the published files' places."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.known_pacing import perceptual
from benchmarks.known_pacing import tables as truth_tables
from benchmarks.known_pacing.pacing_measures import MEASURES
from benchmarks.known_pacing.perceptual import PerceptualSteps
from spf.errors import UnavailableError

CHANNELS = (64, 192, 384, 256, 256)


def install(monkeypatch: pytest.MonkeyPatch, home: Path, seed: int = 0) -> dict[str, dict]:
    """Random weights as files in a torch home, known by their hashes; the tensors by file."""
    import torch
    from torchvision.models import alexnet

    torch.manual_seed(seed)
    with torch.device("meta"):
        shapes = alexnet(weights=None).features.state_dict()
    features = {f"features.{k}": torch.randn(v.shape) * 0.05 for k, v in shapes.items()}
    linear = {
        f"lin{layer}.model.1.weight": torch.rand(1, wide, 1, 1)
        for layer, wide in enumerate(CHANNELS)
    }
    monkeypatch.setenv("TORCH_HOME", str(home))
    made = {}
    for name, folder, tensors in (
        ("ALEXNET", "checkpoints", features),
        ("LINEAR", "pyiqa", linear),
    ):
        file = getattr(perceptual, name)
        path = home / "hub" / folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensors, path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setattr(perceptual, name, replace(file, sha256=sha256))
        made[name] = tensors
    perceptual.load_network.cache_clear()
    return made


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    yield install(monkeypatch, tmp_path)
    perceptual.load_network.cache_clear()


def noise(count: int, size: tuple[int, int] = (64, 80)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def steps(frames: np.ndarray) -> np.ndarray:
    gathered = PerceptualSteps()
    for frame in frames:
        gathered.add(frame)
    return gathered.as_array()


def test_equal_frames_are_0_apart_and_a_step_is_where_it_is(weights) -> None:
    first, second = noise(2)
    found = steps(np.stack([first] * 9 + [second] * 11))
    assert found.shape == (19,)
    assert found[8] > 0.01
    assert np.abs(np.delete(found, 8)).max() < 1e-9
    assert steps(first[None]).shape == (0,)


def test_steps_are_those_of_pyiqa(weights, monkeypatch: pytest.MonkeyPatch) -> None:
    """A well-kept library's own forward pass; its construction would fetch AlexNet."""
    import torch
    from pyiqa.archs import lpips_arch
    from torchvision.models import alexnet

    def local(weights: object = None) -> torch.nn.Module:
        with torch.device("meta"):
            network = alexnet(weights=None)
        named = {k.removeprefix("features."): v for k, v in saved["ALEXNET"].items()}
        network.features.load_state_dict(named, assign=True)
        return network

    saved = weights
    monkeypatch.setattr(lpips_arch.models, "alexnet", local)
    model = lpips_arch.LPIPS(pretrained_model_path=str(perceptual.LINEAR.find()))
    frames = noise(2 * perceptual.BATCH + 3, (96, 128))
    planes = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected = model(planes[1:], planes[:-1]).flatten().numpy()
    assert expected.min() > 0.01
    np.testing.assert_allclose(steps(frames), expected, rtol=1e-5)
    np.testing.assert_allclose(steps(frames[:5]), expected[:4], rtol=1e-5)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def test_code_in_weights_is_not_run(weights, monkeypatch, tmp_path: Path) -> None:
    import pickle

    class CountedHarm:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harmed",)

    path = perceptual.LINEAR.find()
    path.write_bytes(pickle.dumps(CountedHarm(), protocol=2))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(perceptual, "LINEAR", replace(perceptual.LINEAR, sha256=sha256))
    with pytest.raises(UnavailableError, match="is damaged or another file"):
        PerceptualSteps()
    assert not (tmp_path / "harmed").exists()


def test_absent_weights_say_which_and_how_to_get_them(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert perceptual.identity() is None
    missing = perceptual.lacking()
    for file in (perceptual.ALEXNET, perceptual.LINEAR):
        assert file.name in missing
        assert file.url in missing
    ladder = pd.DataFrame(
        {"motion": "none", "true_linearity_mae": [0.0, 0.1], "linearity_mae": [0.0, 0.2]}
    )
    for measure in MEASURES:
        if measure not in ladder and measure != "pdv_lpips":
            ladder[measure] = [0.0, 1.0]
    found = {row["measure"]: row for row in truth_tables.measure_rows(ladder)[0]}
    assert found["pdv_lpips"]["status"] == "not_run"
    assert found["pdv_lpips"]["reason"] == f"not run: {missing}"
    ladder["lpips_reason"] = [None, "LPIPS: it is damaged"]
    found = {row["measure"]: row for row in truth_tables.measure_rows(ladder)[0]}
    assert found["pdv_lpips"]["reason"] == "not run: LPIPS: it is damaged"
    ladder["pdv_lpips"] = [0.0, 1.0]
    found = {row["measure"]: row for row in truth_tables.measure_rows(ladder)[0]}
    assert (found["pdv_lpips"]["status"], found["pdv_lpips"]["none"]) == ("done", pytest.approx(1))
