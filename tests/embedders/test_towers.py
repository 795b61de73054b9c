"""The published towers do what their own libraries do, on tiny models with random weights."""

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import towers
from clips import refused
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from transformers import AutoImageProcessor, Dinov2Model

import spf
from spf.devices import choose_device
from spf.embedders import load_embedder
from spf.embedders.preprocess import Preprocess
from spf.errors import ConfigError, UnavailableError
from spf.weights import EMBEDDER_PINS

NAMES = ("siglip", "clip", "dinov2")
SHAPES = [(1, 1), (1, 1000), (1000, 1), (2, 3), (33, 47), (64, 64), (64, 513), (63, 65), (240, 427)]


def frame(height, width, seed=0):
    random = np.random.default_rng(seed)
    waves = np.outer(np.sin(np.linspace(0, 7, height)), np.cos(np.linspace(0, 5, width)))
    noise = random.uniform(-1, 1, 3), random.normal(0, 20, (height, width, 3))
    return np.clip(128 + 90 * waves[..., None] * noise[0] + noise[1], 0, 255).astype(np.uint8)


def angle(first, second):
    a, b = (x.astype(float) for x in (first, second))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return float(2 * np.arcsin(np.linalg.norm(a - b, axis=1) / 2).max())


def copied(folder: Path, target: Path) -> Path:
    """A copy of a tower's folder, without the hashes that were noted in it."""
    return Path(shutil.copytree(folder, target, ignore=shutil.ignore_patterns(".*")))


@torch.inference_mode()
def library_open_clip(folder, images):
    """The transform's pictures and `encode_image` of them, as open_clip's users call it."""
    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    planes = torch.stack([transform(Image.fromarray(image)) for image in images])
    return planes, model.eval().encode_image(planes, normalize=True).numpy()


@torch.inference_mode()
def library_dinov2(folder, images):
    """The processor's pictures and the pooled output, as transformers' users call it."""
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    pictures = [Image.fromarray(image) for image in images]
    planes = processor(pictures, return_tensors="pt")["pixel_values"]
    return planes, Dinov2Model.from_pretrained(folder).eval()(planes).pooler_output.numpy()


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_vectors_are_the_librarys(name, tower_folders):
    images = [frame(*shape, seed) for seed, shape in enumerate(SHAPES)]
    library = library_dinov2 if name == "dinov2" else library_open_clip
    wanted, vectors = library(tower_folders[name], images)
    tower = load_embedder(name, path=tower_folders[name])
    batch = tower.stack([tower.prepare(image) for image in images])
    planes = tower.preprocess.normalise(torch.from_numpy(batch))
    # transformers scales and shifts in another order: a rounding away.
    torch.testing.assert_close(planes, wanted, rtol=0, atol=1e-6 if name == "dinov2" else 0)
    assert angle(tower.encode(batch), vectors) < 2e-6
    assert angle(spf.embed(images[4][None], tower), vectors[4:5]) < 2e-6


@pytest.mark.parametrize("resize", ["squash", "shortest", "longest"])
@pytest.mark.parametrize("how", ["bicubic", "bilinear"])
def test_every_kind_of_resizing_is_open_clips(resize, how):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.5)
    ours = Preprocess(64, resize, 64, how, mean, std, fill=7)
    theirs = image_transform_v2(PreprocessCfg(64, "RGB", mean, std, how, resize, 7), is_train=False)
    for shape in SHAPES:
        if resize == "longest" and min(shape) * 64 < max(shape):
            continue  # their rounding leaves no pixel, which is an error; ours leaves one
        image = frame(*shape)
        picture = torch.from_numpy(np.array(ours.prepare(image)))
        assert torch.equal(ours.normalise(picture[None])[0], theirs(Image.fromarray(image))), shape


def test_quick_gelu_is_used_where_the_weights_were_trained_with_it(tower_folders, monkeypatch):
    """OpenAI's weights, whatever their configuration says."""
    pin = replace(EMBEDDER_PINS["clip"]["b32-laion2b"], sha256=None)
    monkeypatch.setitem(EMBEDDER_PINS, "clip", {"l14-openai": pin, "b32": pin})
    tower, plain = (
        load_embedder("clip", path=tower_folders["clip"], model=x) for x in ("l14-openai", "b32")
    )
    batch = tower.stack([tower.prepare(frame(64, 64))])
    model = open_clip.create_model(f"local-dir:{tower.folder}", force_quick_gelu=True).eval()
    with torch.inference_mode():
        wanted = model.encode_image(tower.preprocess.normalise(torch.from_numpy(batch))).numpy()
    assert angle(tower.encode(batch), wanted) < 2e-6
    assert angle(plain.encode(batch), wanted) > 1e-3
    assert plain.identity() != tower.identity()


def test_layers_and_pooling_are_the_models_own(tower_folders):
    folder = tower_folders["dinov2"]
    model, probe = Dinov2Model.from_pretrained(folder).eval(), load_embedder("dinov2", path=folder)
    batch = probe.stack([probe.prepare(frame(70, 80, seed)) for seed in range(2)])
    planes = probe.preprocess.normalise(torch.from_numpy(batch))
    with torch.inference_mode():
        hidden = model(planes, output_hidden_states=True).hidden_states  # the embeddings first
        states = [model.layernorm(state).numpy() for state in hidden[1:]]
    for layer in (-1, 2, 0, -2):
        state = states[layer]
        tower = load_embedder("dinov2", path=folder, layer=layer)
        assert angle(tower.encode(batch), state[:, 0]) < 2e-6
        tower = load_embedder("dinov2", path=folder, layer=layer, pooling="patch_mean")
        assert angle(tower.encode(batch), state[:, 1:].mean(axis=1)) < 2e-6


@pytest.mark.parametrize("name", NAMES)
def test_identity_changes_with_whatever_moves_a_vector(name, tower_folders, tmp_path):
    def identity(folder, **settings):
        return load_embedder(name, path=folder, **settings).identity()

    folder = tower_folders[name]
    plain = identity(folder)
    assert len(plain["weights"]) == 64
    others = [{"precision": "bfloat16"}]
    if name == "dinov2":
        others += [{"pooling": "patch_mean"}, {"layer": 0}]
        assert identity(folder, layer=2) == plain  # the last one
    assert all(identity(folder, **other) != plain for other in others)
    twin = copied(folder, tmp_path / "twin")
    assert identity(twin) == plain  # the place does not count
    if name == "dinov2":
        seeded = towers.save_dinov2(tmp_path / "seed", seed=1)
    else:
        seeded = towers.save_open_clip(tmp_path / "seed", getattr(towers, name.upper()), seed=1)
    assert identity(seeded)["weights"] != plain["weights"]
    file = twin / ("preprocessor_config.json" if name == "dinov2" else "open_clip_config.json")
    content = json.loads(file.read_text())
    content.get("preprocess_cfg", content).update(mean=[0.1, 0.2, 0.3], image_mean=[0.5] * 3)
    file.write_text(json.dumps(content))
    assert identity(twin) != plain


NO_GPU = pytest.mark.skipif(choose_device("auto") != "cpu", reason="there is a GPU")


@pytest.mark.parametrize(("settings", "message"), [
    ({"precision": "float8"}, "precision"),
    pytest.param({"precision": "float16"}, "precision", marks=NO_GPU),
    ({"batch_size": 0}, "batch_size"),
    ({"pooling": "max"}, "pooling"),
    *(({"layer": x}, "layer") for x in (3, "last")),
    ({"model": "huge"}, "variant"),
    pytest.param({"device": "cuda:1"}, "cuda:1: .*no CUDA device.*auto", marks=NO_GPU),
], ids=str)  # fmt: skip
def test_wrong_settings_are_one_line(settings, message, tower_folders):
    with refused(message, UnavailableError if "device" in settings else ConfigError):
        load_embedder("dinov2", **({"path": tower_folders["dinov2"]} | settings))


@pytest.mark.parametrize("name", NAMES)
def test_missing_and_damaged_files_are_named(name, tower_folders, tmp_path):
    def fails(*parts):
        with refused("; spf doctor lists", UnavailableError) as error:
            spf.embed(frame(64, 64)[None], load_embedder(name, path=folder))
        for part in (name, "name another folder", f"make weights EMBEDDER={name}", *parts):
            assert part in str(error.value)
        assert error.value.exit_code == 3

    folder = tmp_path / "nowhere"
    fails("nowhere", "nor is the folder")
    folder = copied(tower_folders[name], tmp_path / "copy")
    (weights,), config = folder.glob("*.safetensors"), next(folder.glob("*onfig.json"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    fails(weights.name, "cut short")
    weights.write_bytes(pickle.dumps({"weights": 1}))
    fails(weights.name, "not safetensors")
    weights.rename(folder / "pytorch_model.bin")
    fails(weights.name, "pytorch_model.bin", "pickled")
    weights.write_bytes(whole)
    for text, part in (("{", "JSON"), ("{}", "")):
        config.write_text(text)
        fails(part)
    config.unlink()
    fails(config.name, "not there")
