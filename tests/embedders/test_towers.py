"""The published towers do what their own libraries do, on tiny models with random weights."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import towers

import spf
from spf.devices import choose_device
from spf.embedders import load_embedder
from spf.embedders.base import embed_clip
from spf.embedders.clip import Clip
from spf.embedders.preprocess import Preprocess
from spf.errors import ConfigError, UnavailableError

WORDS = ("siglip", "clip", "dinov2")
SHAPES = [(1, 1), (1, 1000), (1000, 1), (2, 3), (33, 47), (64, 64), (64, 513), (63, 65), (240, 427)]


def frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with noise (height, width, 3) uint8."""
    random = np.random.default_rng(seed)
    waves = (
        np.sin(np.linspace(0, 7, height))[:, None, None] * np.cos(np.linspace(0, 5, width))[:, None]
    )
    noisy = 128 + 90 * waves * random.uniform(-1, 1, 3) + random.normal(0, 20, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def angle(first: np.ndarray, second: np.ndarray) -> float:
    """Largest angle between rows, radians, accurate for small ones."""
    a, b = (
        x.astype(float) / np.linalg.norm(x.astype(float), axis=1)[:, None] for x in (first, second)
    )
    return float(2 * np.arcsin(np.linalg.norm(a - b, axis=1) / 2).max())


def copied(folder: Path, target: Path) -> Path:
    """A copy of a tower's folder, without the hashes that were noted in it."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".*"))
    return target


def changed(folder: Path, target: Path, name: str, change: Any) -> Path:
    """A copy whose JSON file `name` went through `change`."""
    file = copied(folder, target) / name
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return target


def library_open_clip(folder: Path, images: list[np.ndarray]) -> tuple[Any, np.ndarray]:
    """The transform's pictures and `encode_image` of them, as open_clip's users call it."""
    import open_clip
    import torch
    from PIL import Image

    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    with torch.inference_mode():
        planes = torch.stack([transform(Image.fromarray(image)) for image in images])
        return planes, model.eval().encode_image(planes, normalize=True).numpy()


def library_dinov2(folder: Path, images: list[np.ndarray]) -> tuple[Any, np.ndarray]:
    """The processor's pictures and the pooled output, as transformers' users call it."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, Dinov2Model

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = Dinov2Model.from_pretrained(folder).eval()
    pictures = [Image.fromarray(image) for image in images]
    with torch.inference_mode():
        planes = processor(pictures, return_tensors="pt")["pixel_values"]
        return planes, model(planes).pooler_output.numpy()


@pytest.mark.parametrize("word", WORDS)
def test_pictures_and_vectors_are_the_librarys(word: str, tower_folders: dict[str, Path]) -> None:
    import torch

    images = [frame(*shape, seed) for seed, shape in enumerate(SHAPES)]
    library = library_dinov2 if word == "dinov2" else library_open_clip
    wanted, vectors = library(tower_folders[word], images)
    tower: Any = load_embedder(word, path=tower_folders[word])
    batch = tower.stack([tower.prepare(image) for image in images])
    planes = tower.preprocess.normalise(torch.from_numpy(batch))
    # transformers scales and shifts in another order: a rounding away.
    torch.testing.assert_close(planes, wanted, rtol=0, atol=1e-6 if word == "dinov2" else 0)
    assert angle(tower.encode(batch), vectors) < 2e-6
    assert angle(spf.embed(images[4][None], tower), vectors[4:5]) < 2e-6


@pytest.mark.parametrize("resize", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("how", ["bicubic", "bilinear"])
def test_every_kind_of_resizing_is_open_clips(resize: str, how: str) -> None:
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.5)
    ours = Preprocess(64, resize, 64, how, mean, std, fill=7)
    theirs = image_transform_v2(PreprocessCfg(64, "RGB", mean, std, how, resize, 7), is_train=False)
    for shape in SHAPES:
        if resize == "longest" and min(shape) * 64 < max(shape):
            continue  # their rounding leaves no pixel, which is an error; ours leaves one
        image = frame(*shape)
        picture = torch.from_numpy(np.array(ours.picture(image)))
        assert torch.equal(ours.normalise(picture[None])[0], theirs(Image.fromarray(image))), shape


def test_quick_gelu_is_used_where_the_weights_were_trained_with_it(
    tower_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's weights, whatever their configuration says."""
    import open_clip
    import torch

    folder = tower_folders["clip"]
    monkeypatch.setattr(
        "spf.embedders.tower.EMBEDDER_PINS", {"clip": unpinned("l14-openai", "b32")}
    )
    tower = Clip(folder, model="l14-openai")
    plain = Clip(folder, model="b32")
    batch = tower.stack([tower.prepare(frame(64, 64))])
    model = open_clip.create_model(f"local-dir:{folder}", force_quick_gelu=True).eval()
    with torch.inference_mode():
        wanted = model.encode_image(tower.preprocess.normalise(torch.from_numpy(batch))).numpy()
    assert angle(tower.encode(batch), wanted) < 2e-6
    assert angle(plain.encode(batch), wanted) > 1e-3
    assert plain.identity() != tower.identity()


def unpinned(*models: str) -> dict[str, Any]:
    from dataclasses import replace

    from spf.weights import EMBEDDER_PINS

    pin = EMBEDDER_PINS["clip"]["b32-laion2b"]
    return {model: replace(pin, sha256=None) for model in models}


def test_layers_and_pooling_are_the_models_own(tower_folders: dict[str, Path]) -> None:
    import torch
    from transformers import Dinov2Model

    folder = tower_folders["dinov2"]
    model = Dinov2Model.from_pretrained(folder).eval()
    probe: Any = load_embedder("dinov2", path=folder)
    batch = probe.stack([probe.prepare(frame(70, 80, seed)) for seed in range(2)])
    planes = probe.preprocess.normalise(torch.from_numpy(batch))
    with torch.inference_mode():
        hidden = model(planes, output_hidden_states=True).hidden_states  # the embeddings first
        states = [model.layernorm(state).numpy() for state in hidden[1:]]
    for layer, state in [(-1, states[-1]), (2, states[2]), (0, states[0]), (-2, states[1])]:
        tower: Any = load_embedder("dinov2", path=folder, layer=layer)
        assert angle(tower.encode(batch), state[:, 0]) < 2e-6
        tower = load_embedder("dinov2", path=folder, layer=layer, pooling="patch_mean")
        assert angle(tower.encode(batch), state[:, 1:].mean(axis=1)) < 2e-6


@pytest.mark.parametrize("word", WORDS)
def test_identity_changes_with_whatever_moves_a_vector(
    word: str, tower_folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tower_folders[word]
    plain = load_embedder(word, path=folder).identity()
    assert len(plain["weights"]) == 64
    others = {"precision": "bfloat16"}
    if word == "dinov2":
        others |= {"pooling": "patch_mean", "layer": 0}
        assert load_embedder(word, path=folder, layer=2).identity() == plain  # the last one
    for name, value in others.items():
        assert load_embedder(word, path=folder, **{name: value}).identity() != plain, name
    twin = copied(folder, tmp_path / "twin")
    assert load_embedder(word, path=twin).identity() == plain  # the place does not count
    if word == "dinov2":
        towers.save_dinov2(tmp_path / "seed", seed=1)
        name, key = "preprocessor_config.json", "image_mean"
        change = lambda config: config.update({key: [0.5, 0.5, 0.5]})  # noqa: E731
    else:
        config = {"siglip": towers.SIGLIP, "clip": towers.CLIP}[word]
        towers.save_open_clip(tmp_path / "seed", config, seed=1)
        name = "open_clip_config.json"
        change = lambda config: config["preprocess_cfg"].update(mean=[0.1, 0.2, 0.3])  # noqa: E731
    seeded = load_embedder(word, path=tmp_path / "seed").identity()
    assert seeded["weights"] != plain["weights"]
    changed(folder, tmp_path / "changed", name, change)
    assert load_embedder(word, path=tmp_path / "changed").identity() != plain


NO_GPU = pytest.mark.skipif(choose_device("auto") != "cpu", reason="there is a GPU")


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"precision": "float8"}, ConfigError, "precision"),
        pytest.param({"precision": "float16"}, ConfigError, "precision", marks=NO_GPU),
        ({"pooling": "max"}, ConfigError, "pooling"),
        ({"layer": 3}, ConfigError, "layer"),
        ({"model": "huge"}, ConfigError, "variant"),
        pytest.param(
            {"device": "cuda:1"}, UnavailableError, "cuda:1: .*no CUDA device.*auto", marks=NO_GPU
        ),
    ],
)
def test_wrong_settings_are_one_line(
    settings: dict[str, Any], kind: Any, said: str, tower_folders: dict[str, Path]
) -> None:
    with pytest.raises(kind, match=said) as error:
        load_embedder("dinov2", **({"path": tower_folders["dinov2"]} | settings))
    assert "\n" not in str(error.value)


def check_unusable(word: str, folder: Path, *said: str, run: bool = False) -> None:
    def use() -> None:
        tower = load_embedder(word, path=folder)
        if run:
            embed_clip(frame(64, 64)[None], tower)

    with pytest.raises(UnavailableError) as error:
        use()
    text = str(error.value)
    assert "\n" not in text
    for part in (word, "name another folder", f"make weights EMBEDDER={word}", *said):
        assert part in text
    assert "pixels" in text.partition("available now: ")[2]
    assert error.value.exit_code == 3


@pytest.mark.parametrize("word", WORDS)
def test_missing_and_damaged_files_are_named(
    word: str, tower_folders: dict[str, Path], tmp_path: Path
) -> None:
    check_unusable(word, tmp_path / "nowhere", "nowhere", "nor is the folder")
    folder = copied(tower_folders[word], tmp_path / "copy")
    weights = next(folder.glob("*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    check_unusable(word, folder, weights.name, "cut short")
    weights.write_bytes(pickle.dumps({"weights": 1}))
    check_unusable(word, folder, weights.name, "not safetensors")
    weights.rename(folder / "pytorch_model.bin")
    check_unusable(word, folder, weights.name, "pytorch_model.bin", "pickled")
    config = next(folder.glob("*onfig.json"))
    (folder / "pytorch_model.bin").rename(weights)
    weights.write_bytes(whole)
    config.write_text("{")
    check_unusable(word, folder, "JSON")
    config.write_text("{}")
    check_unusable(word, folder, run=True)
    config.unlink()
    check_unusable(word, folder, config.name, "not there")
