"""LPIPS between frames, with random weights in the published files' places."""

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.models import alexnet

from benchmarks.known_pacing import perceptual
from benchmarks.known_pacing import tables as truth_tables
from benchmarks.known_pacing.perceptual import perceptual_steps, reduced
from spf.errors import UnavailableError

CHANNELS = (64, 192, 384, 256, 256)


def publish(monkeypatch, name, path):
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(perceptual, name, replace(getattr(perceptual, name), sha256=sha256))


@pytest.fixture
def weights(monkeypatch, tmp_path):
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = alexnet(weights=None).features.state_dict()
    features = {f"features.{k}": torch.randn(v.shape) * 0.05 for k, v in shapes.items()}
    linear = {f"lin{k}.model.1.weight": torch.rand(1, n, 1, 1) for k, n in enumerate(CHANNELS)}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, folder, made in (("ALEXNET", "checkpoints", features), ("LINEAR", "pyiqa", linear)):
        path = tmp_path / "hub" / folder / getattr(perceptual, name).name
        path.parent.mkdir(parents=True)
        torch.save(made, path)
        publish(monkeypatch, name, path)
    perceptual.load_network.cache_clear()
    yield features
    perceptual.load_network.cache_clear()


def steps(frames):
    return perceptual_steps([reduced(frame) for frame in frames])


def test_steps_are_those_of_pyiqa(weights, monkeypatch):
    """A well-kept library's own forward pass; its construction would fetch AlexNet."""
    from pyiqa.archs import lpips_arch

    def local(**_):
        with torch.device("meta"):
            whole = alexnet(weights=None)
        named = {k.removeprefix("features."): v for k, v in weights.items()}
        whole.features.load_state_dict(named, assign=True)
        return whole

    monkeypatch.setattr(lpips_arch.models, "alexnet", local)
    model = lpips_arch.LPIPS(pretrained_model_path=str(perceptual.LINEAR.find()))
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (2 * perceptual.BATCH + 3, 96, 128, 3), dtype=np.uint8)
    planes = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected = model(planes[1:], planes[:-1]).flatten().numpy()
    assert expected.min() > 0.01
    np.testing.assert_allclose(steps(frames), expected, rtol=1e-5)
    np.testing.assert_allclose(steps(frames[:5]), expected[:4], rtol=1e-5)
    assert steps(frames[:1]).shape == (0,)
    found = steps(frames[[0] * 9 + [1] * 11])  # equal frames are 0 apart, whatever their batch
    assert found[8] == pytest.approx(expected[0], rel=1e-5)
    assert np.abs(np.delete(found, 8)).max() < 1e-9


def test_code_in_weights_is_not_run(weights, monkeypatch, tmp_path):
    class CountedHarm:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harmed",)

    path = perceptual.LINEAR.find()
    path.write_bytes(pickle.dumps(CountedHarm(), protocol=2))
    for how in ("another hash", "the right hash"):
        with pytest.raises(UnavailableError, match="is damaged or another file"):
            perceptual_steps([])
        assert not (tmp_path / "harmed").exists(), how
        publish(monkeypatch, "LINEAR", path)


def test_absent_weights_say_which_and_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert perceptual.identity() is None
    with pytest.raises(UnavailableError) as caught:
        perceptual_steps([])
    missing = str(caught.value).removeprefix("LPIPS: ")
    for file in (perceptual.ALEXNET, perceptual.LINEAR):
        assert file.name in missing
        assert file.url in missing
    ladder = pd.DataFrame({"motion": "none", "true_linearity_mae": [0.0, 0.1]})
    others = truth_tables.MEASURES.keys() - {"pdv_lpips"}
    ladder = ladder.assign(**{name: [0.0, 1.0] for name in others})

    def row():
        found = {row["measure"]: row for row in truth_tables.measure_rows(ladder)[0]}
        return found["pdv_lpips"]["status"], found["pdv_lpips"]["reason"]

    assert row() == ("not_run", f"not run: {missing}")
    ladder["lpips_reason"] = [None, "LPIPS: it is damaged"]
    assert row() == ("not_run", "not run: LPIPS: it is damaged")
    ladder["pdv_lpips"] = [0.0, 1.0]
    assert row() == ("done", "")
