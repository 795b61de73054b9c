"""The embedders that come with the install: EfficientNet-Lite0, compared with timm, and tiny."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import refused
from safetensors.numpy import load_file, save_file

import spf
from benchmarks.known_pacing.errors import calibrate
from spf.embedders import efficientnet, label, load_embedder
from spf.embedders.tiny import SHIPPED, TinyEmbedder
from spf.errors import UnavailableError
from synthetic.clips import FIRST_HELD_OUT_SEED, Still, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import motion

timm = pytest.importorskip("timm")


def network():
    """timm's network as it builds it: nothing is fused."""
    torch.manual_seed(0)
    return timm.create_model(efficientnet.ARCHITECTURE, pretrained=False).eval()


@pytest.fixture(scope="module")
def reference():
    """The same with the published weights."""
    model, weights = network(), torch.load(efficientnet._shipped(), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    return model


@pytest.mark.parametrize("views", efficientnet.OFFSETS)
@pytest.mark.parametrize("layer", efficientnet.LAYERS)
def test_vectors_are_means_of_timm_s_feature_maps(reference, layer, views):
    embedder = load_embedder("efficientnet", layer=layer, views=views)
    pixels = embedder.prepare(pytest.importorskip("skimage.data").chelsea())
    model = torch.nn.Sequential(reference.conv_stem, reference.bn1, *reference.blocks)
    if layer == "head":
        model = torch.nn.Sequential(model, reference.conv_head, reference.bn2)
    planes = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1.0).permute(2, 0, 1)[None]
    means = []
    for down, right in efficientnet.OFFSETS[views]:
        with torch.inference_mode():
            view = model(planes[..., down : down + 224, right : right + 224])
            means.append(view.mean(dim=(0, 2, 3)).numpy())
    np.testing.assert_allclose(embedder.encode(pixels[None])[0], np.mean(means, axis=0), atol=3e-5)


def test_other_weights_through_the_same_loader(tmp_path):
    file = tmp_path / efficientnet.FILE
    torch.save(network().state_dict(), file)
    by_file, by_folder = (load_embedder("efficientnet", path=x, size=64) for x in (file, tmp_path))
    shipped = load_embedder("efficientnet", size=64)
    batch = shipped.prepare(np.zeros((64, 64, 3), np.uint8))[None]
    np.testing.assert_array_equal(by_file.encode(batch), by_folder.encode(batch))
    assert by_file.identity()["weights"] != shipped.identity()["weights"]
    assert by_file.identity()["revision"] == "none: a local file"


def test_unusable_weights_are_one_line(tmp_path):
    path = tmp_path / "weights.pth"
    for weight in (torch.zeros(3), Path("a"), None):
        torch.save({"weight": weight}, path)
        if weight is None:
            path.write_bytes(efficientnet._shipped().read_bytes()[:100_000])
        with refused(r"efficientnet: .*weights\.pth.*give a folder", UnavailableError):
            load_embedder("efficientnet", path=path)


def test_settings_out_of_range_are_refused():
    for name, values in {"views": (3, True, "2"), "size": (225, 32, None), "layer": "x"}.items():
        for value in values:
            with refused(f"{name} must be"):
                load_embedder("efficientnet", **{name: value})


@pytest.mark.parametrize(
    "name", ["moon-tissue-dissolve", "material-jade-copper", "cat-motorcycle-warp"]
)
def test_it_follows_the_meaning_and_neither_camera_codec_noise_nor_light(name):
    base = SyntheticClip(content(name), seed=FIRST_HELD_OUT_SEED)
    morph = replace(base, law=law("ease_in_out"))
    camera = motion("translation", "moderate")

    def curve(clip, gain=1.0):
        frames = np.clip(np.stack(list(clip.frames())) * gain, 0, 255).astype(np.uint8)
        return spf.fit(spf.embed(frames, embedder=TinyEmbedder()))

    reference, plain = curve(base), curve(morph)
    still = curve(replace(base, content=Still(base.content), motion=camera))
    assert still.total_change < 0.45 * reference.total_change
    truth = SyntheticClip(content(name), law=law("ease_in_out"))
    for found, bound in ((plain, 0.03), (curve(replace(morph, motion=camera)), 0.06)):
        shares = truth.truth(), truth.shares, reference.progress
        assert calibrate(found.progress, *shares).error < bound
    for disturbed in (
        curve(replace(morph, motion=motion("compression", 0.2))),  # crf 35
        curve(replace(morph, motion=motion("noise", 0.05))),  # 1% of the range
        curve(morph, gain=0.8),
        curve(morph, gain=1.2),
    ):
        scores = [spf.score(x)["linearity_mae"] for x in (plain, disturbed)]
        assert abs(scores[0] - scores[1]) <= 0.02


def test_other_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(SHIPPED.read_bytes()[:5000])
    with refused("damaged", UnavailableError):
        TinyEmbedder(path)
    save_file({"weight": np.zeros(3, np.float32)}, path)
    with refused("another network", UnavailableError):
        TinyEmbedder(path)


def test_identity_names_the_weights(tmp_path):
    copy, other = tmp_path / "copy.safetensors", tmp_path / SHIPPED.name
    copy.write_bytes(SHIPPED.read_bytes())
    save_file({name: 2 * values for name, values in load_file(SHIPPED).items()}, other)
    paths = (None, copy, other, tmp_path)
    shipped, same, by_file, by_folder = (TinyEmbedder(path).identity() for path in paths)
    assert shipped == same != by_file == by_folder
    assert [label(x) for x in (TinyEmbedder(), TinyEmbedder(copy))] == ["tiny (shipped)"] * 2
    assert label(TinyEmbedder(other)) == "tiny (local weights)"
