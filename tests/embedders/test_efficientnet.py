"""EfficientNet-Lite0: timm's own network is the second source of its vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import clips
import cv2
import numpy as np
import pytest
import torch

import spf
from spf.embedders import efficientnet as module
from spf.embedders import load_embedder
from spf.errors import ConfigError, UnavailableError

timm = pytest.importorskip("timm")


@pytest.fixture(scope="module")
def reference() -> Any:
    """timm's network as it builds it, with the published weights: nothing is fused."""
    weights = torch.load(module._shipped(), weights_only=True)
    model = timm.create_model(module.ARCHITECTURE, pretrained=False)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    return model.eval()


def photograph(name: str) -> np.ndarray:
    skimage = pytest.importorskip("skimage.data")
    return getattr(skimage, name)()


def as_input(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1)[None]


@pytest.mark.parametrize("views", module.OFFSETS)
@pytest.mark.parametrize("layer", module.LAYERS)
def test_vectors_are_means_of_timm_s_feature_maps(reference: Any, layer: str, views: int) -> None:
    embedder = load_embedder("efficientnet", layer=layer, views=views)
    pixels = embedder.prepare(photograph("chelsea"))
    found = embedder.encode(pixels[None])[0]
    model = torch.nn.Sequential(reference.conv_stem, reference.bn1, *reference.blocks)
    if layer == "head":
        model = torch.nn.Sequential(model, reference.conv_head, reference.bn2)
    means = []
    for down, right in module.OFFSETS[views]:
        view = pixels[down : down + 224, right : right + 224]
        with torch.inference_mode():
            means.append(model(as_input(view)).mean(dim=(0, 2, 3)).numpy())
    np.testing.assert_allclose(found, np.mean(means, axis=0), atol=3e-5)


def test_vectors_depend_on_no_batch_and_no_threads() -> None:
    embedder = load_embedder("efficientnet", size=64)
    images = np.random.default_rng(0).integers(0, 256, (19, 64, 64, 3), dtype=np.uint8)
    batch = np.stack([embedder.prepare(image) for image in images])
    whole = embedder.encode(batch)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        parts = np.concatenate([embedder.encode(batch[k : k + 3]) for k in range(0, 19, 3)])
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize(
    ("height", "width", "format"),
    [
        (2, 2, "bgr0"),
        (480, 16, "bgr0"),
        (8, 1600, "bgr0"),
        (30, 30, "gray"),
    ],
)
def test_odd_clips_have_their_pacing(height: int, width: int, format: str, tmp_path: Path) -> None:
    """A dissolve between two photographs of which u^2 is done at time u, down to four pixels."""
    u = np.linspace(0, 1, 25)
    ends = [
        cv2.resize(photograph(name), (width, height), interpolation=cv2.INTER_AREA).astype(float)
        for name in ("chelsea", "coffee")
    ]
    frames = [np.rint(ends[0] + share * (ends[1] - ends[0])).astype(np.uint8) for share in u**2]
    clip = clips.encode(tmp_path / "clip.mkv", frames, codec="ffv1", pix_fmt=format)
    curve = spf.measure(clip, embedder="efficientnet")
    assert spf.no_change_reason(curve) is None
    assert (np.diff(curve.progress) >= 0).all()
    assert (curve.progress[0], curve.progress[-1]) == (0, 1)
    error = np.abs(curve.progress - u**2).mean()
    assert error < 0.08
    assert error < np.abs(curve.progress - u).mean()


def random_weights(path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(timm.create_model(module.ARCHITECTURE, pretrained=False).state_dict(), path)
    return path


def test_other_weights_through_the_same_loader(tmp_path: Path) -> None:
    file = random_weights(tmp_path / module.FILE)
    by_file, by_folder = (load_embedder("efficientnet", path=x, size=64) for x in (file, tmp_path))
    shipped = load_embedder("efficientnet", size=64)
    batch = shipped.prepare(np.zeros((64, 64, 3), np.uint8))[None]
    np.testing.assert_array_equal(by_file.encode(batch), by_folder.encode(batch))
    assert by_file.identity()["weights"] != shipped.identity()["weights"]
    assert by_file.identity()["revision"] == "none: a local file"


def damaged(path: Path) -> None:
    path.write_bytes(module._shipped().read_bytes()[:100_000])


def of_another_network(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


def with_code(path: Path) -> None:
    torch.save({"weight": Path("a")}, path)  # needs unpickling


@pytest.mark.parametrize("spoil", [damaged, of_another_network, with_code])
def test_unusable_weights_are_one_line(tmp_path: Path, spoil: Any) -> None:
    spoil(tmp_path / "weights.pth")
    with pytest.raises(UnavailableError, match=r"efficientnet: .*weights\.pth.*give a folder") as e:
        load_embedder("efficientnet", path=tmp_path / "weights.pth")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "settings",
    [
        *({"views": value} for value in (3, True, "2")),
        *({"size": value} for value in (225, 32, None)),
        {"layer": "logits"},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} must be") as error:
        load_embedder("efficientnet", **settings)
    assert "\n" not in str(error.value)
