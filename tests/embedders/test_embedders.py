"""The contract of all embedders; what the controls see, and those that come with the install."""

import inspect
import json
import tracemalloc
import weakref
from dataclasses import replace
from pathlib import Path

import cv2
import harness
import numpy as np
import pytest
import torch
from clips import refused
from safetensors.numpy import load_file, save_file

import spf
from benchmarks.known_pacing.errors import calibrate
from spf.embedders import EMBEDDERS, efficientnet, label, load_embedder
from spf.embedders.tiny import SHIPPED, TinyEmbedder
from spf.errors import UnavailableError
from spf.measurement import Thumbnails, measure_clip
from synthetic.clips import FIRST_HELD_OUT_SEED, Still, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import motion

NAMES = sorted(EMBEDDERS)
TOWERS = ("siglip", "clip", "dinov2")  # tests/embedders/test_towers.py has their settings
OTHER = {"histogram": {"colours": 5, "orientations": 9}, "pixels": {"size": 7}}
"""Another value for every setting of the controls: a new setting must be named here."""


@pytest.fixture
def load(tower_folders):
    """`load_embedder`, but a name that needs weights gets a tiny tower with random ones."""

    def load(name):
        usual = {"size": 64} if name == "efficientnet" else {}  # a twelfth of the time
        return load_embedder(name, **({"path": tower_folders[name]} if name in TOWERS else usual))

    return load


@pytest.fixture(params=NAMES)
def embedder(request, load):
    return load(request.param)


def frames(count: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Noise over a slow dissolve (count, height, width, 3): no two frames are alike."""
    noise = np.random.default_rng(0).integers(0, 60, (count, height, width, 3))
    slope = np.linspace(0, 180, count).round().astype(int)[:, None, None, None]
    return (noise + slope).astype(np.uint8)


def test_vectors_are_unit_rows_that_depend_on_their_frame_alone(embedder, load):
    clip = frames(9)
    before = clip.copy()
    whole = spf.embed(clip, embedder=embedder)
    assert (whole.dtype, len(whole)) == (np.float32, 9)
    np.testing.assert_allclose(np.linalg.norm(whole.astype(float), axis=1), 1.0, atol=1e-6)
    # Bit for bit; the sums of a tower may be rounded otherwise in a batch of another size.
    near = {"rtol": 0, "atol": 2e-6 * (embedder.name in TOWERS)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    for size in (1, 7, 100):
        found = spf.embed(clip, embedder=embedder, batch_size=size)
        np.testing.assert_allclose(found, whole, **near)
    torch.set_num_threads(threads)
    order = [3, 0, 5, 1, 4, 2]
    np.testing.assert_allclose(spf.embed(clip[order], embedder=embedder), whole[order], **near)
    np.testing.assert_array_equal(spf.embed(clip, embedder=load(embedder.name)), whole)
    np.testing.assert_array_equal(clip, before)
    part = clip[:3, ::2, ::-1]
    part.setflags(write=False)
    found = [spf.embed(x, embedder=embedder) for x in (part, np.ascontiguousarray(part))]
    np.testing.assert_array_equal(*found)


def test_every_frame_size_gives_one_shape(embedder):
    usual = embedder.prepare(frames(1)[0])
    width = spf.embed(frames(1), embedder=embedder).shape[1]
    for size in ((1, 1), (1, 7), (7, 1), (2, 3), (33, 47), (480, 641), (8, 3000), (3000, 8)):
        (image,) = frames(1, *size)
        prepared = embedder.prepare(image)
        assert (prepared.shape, prepared.dtype) == (usual.shape, usual.dtype)
        vector = spf.embed(image[None], embedder=embedder)
        assert vector.shape == (1, width)
        assert np.isfinite(vector).all()


def test_colours_and_greys_are_distinguished(embedder):
    clip = np.zeros((6, 24, 32, 3), np.uint8)
    for channel in range(3):
        clip[channel, ..., channel] = 255
    clip[4], clip[5] = 128, 255
    vectors = spf.embed(clip, embedder=embedder).astype(float)
    cosines = vectors @ vectors.T
    bound = 0.999 if embedder.name in TOWERS else 0.95  # random weights distinguish less
    assert max(cosines[0, 1], cosines[0, 2], cosines[1, 2]) < bound
    assert cosines[3, 5] < (0.98 if embedder.name == "efficientnet" else 0.9)
    assert max(cosines[3, 4], cosines[4, 5]) < 0.999


def test_identity_is_plain_data(embedder, load):
    identity = embedder.identity()
    assert json.loads(json.dumps(identity)) == identity == load(embedder.name).identity()
    assert identity["embedder"] == embedder.name
    assert ("(control)" in label(embedder)) == embedder.control
    with refused("no_such_setting"):
        load_embedder(embedder.name, no_such_setting=1)
    if settings := OTHER.get(embedder.name):
        assert set(inspect.signature(type(embedder)).parameters) == set(settings)
        for setting, value in settings.items():
            other = load_embedder(embedder.name, **{setting: value})
            assert other.identity() != identity, setting


def test_pixels_leak_under_motion_and_histogram_does_not():
    image = harness.picture(3, 96)  # its quarters differ in colour
    moved = np.roll(image, 48, axis=1)  # the same colours, elsewhere
    clip = np.stack([image, moved, harness.picture(4, 96)])
    still, shifted, _ = spf.embed(clip, embedder="pixels").astype(float)
    assert still @ shifted < 0.95
    still, shifted, another = spf.embed(clip, embedder="histogram").astype(float)
    assert still @ shifted > 0.995
    assert still @ another < 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_long_clip_is_streamed(name, load):
    alive, most = weakref.WeakValueDictionary(), set()

    def large_frames():
        for index in range(150):
            alive[index] = image = np.full((480, 640, 3), index, np.uint8)
            most.add(len(alive))
            yield image, index / 25
            del image

    embedder = load(name)
    spf.embed(frames(1), embedder=embedder)  # a model is loaded by its first batch
    tracemalloc.start()
    try:
        measured = measure_clip(large_frames(), embedder, batch_size=16)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(measured.curve) == 150
    assert max(most) <= 4  # prepared frames may be held for a batch, frames themselves may not
    assert peak < 60e6  # all frames are 138 MB


@pytest.mark.parametrize("count", [1, 192, 193, 2000])
def test_thumbnails_stay_few_and_even(count):
    small = Thumbnails(height=8)
    for index in range(count):
        small.add(np.full((4, 6, 3), index % 251, np.uint8))
    assert min(count, small.limit // 2) <= len(small.images) <= small.limit
    assert small.source_size == (4, 6)
    for frame in {0, count // 3, count // 2, count - 1}:
        index, image = small.nearest(frame)
        assert 0 <= index < count
        assert abs(index - frame) <= small.stride
        assert image[0, 0, 0] == index % 251


def network():
    """timm's network as it builds it: nothing is fused."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    return timm.create_model(efficientnet.ARCHITECTURE, pretrained=False).eval()


@pytest.fixture(scope="module")
def reference():
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


@pytest.mark.parametrize("size", [(2, 2), (16, 480), (1600, 8)])
def test_odd_clips_have_their_pacing(size):
    data, u = pytest.importorskip("skimage.data"), np.linspace(0, 1, 25)
    ends = (
        cv2.resize(x(), size, interpolation=cv2.INTER_AREA) for x in (data.chelsea, data.coffee)
    )
    first, last = np.stack(list(ends)).astype(float)
    frames = np.rint(first + (u**2)[:, None, None, None] * (last - first)).astype(np.uint8)
    progress = spf.measure(frames, embedder="efficientnet").progress
    assert np.abs(progress - u**2).mean() < min(0.08, np.abs(progress - u).mean())


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
