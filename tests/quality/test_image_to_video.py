"""How a clip follows the images that it was generated from: VBench's dimensions, as its own package
gives them with random weights; and the fidelity of the ends, by scikit-image and by hand."""

import json
import re
import shutil
import sys
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from math import log10, nan
from pathlib import Path

import clips
import harness
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import spf
from spf.cache import user_cache
from spf.embedders import load_embedder
from spf.quality import VBENCH_DIMENSIONS, Conditions, Score
from spf.quality.fidelity import FIDELITY, MAXIMAL_PSNR, cropped, end_fidelity, psnr
from spf.quality.vbench import MOTIONS, VBench, motion_of
from spf.quality.weights import CAMERA, FIRST_FRAME

DIMENSIONS = (*FIRST_FRAME, CAMERA)
PROMPT = "a light on a wall, camera pans right"

ORACLE = """
import functools, sys, types, torch
torch.set_num_threads(1)
folder, tracker, dimensions = sys.argv[1], sys.argv[2], sys.argv[3:]
name = "vbench2_beta_i2v.third_party.cotracker.utils.visualizer"
sys.modules[name] = types.ModuleType(name)
sys.modules[name].Visualizer = None
load = torch.hub.load
def from_folder(repo_or_dir, model, **more):
    if repo_or_dir == "facebookresearch/co-tracker":
        return load(tracker, model, source="local")
    return load(repo_or_dir, model, **more)
torch.hub.load = from_folder
import dreamsim
dreamsim.dreamsim = functools.partial(dreamsim.dreamsim, device="cpu")
from vbench2_beta_i2v import VBenchI2V
VBenchI2V(torch.device("cpu"), "info.json", ".").evaluate(
    folder, "scored", dimensions, local=True, resolution="1-1"
)
"""
"""The package's own class on its own list of prompts and images, which lies in the folder that it
is started in; on the processor, and with repositories from here."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from vbench_weights import save_image_to_video

    folder = tmp_path_factory.mktemp("random")
    save_image_to_video(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VBENCH_CACHE_DIR", str(folder))
        patch.syspath_prepend(folder / "package")
        for dimension in DIMENSIONS:
            files = tuple(replace(file, sha256=None) for file in VBENCH_DIMENSIONS[dimension])
            patch.setitem(VBENCH_DIMENSIONS, dimension, files)
        yield folder


@pytest.fixture(scope="module")
def quality(weights):
    made = VBench(DIMENSIONS, device="cpu")
    yield made
    made.close()


@pytest.fixture(scope="module")
def frames():
    """A light that moves left, as where the camera pans right, over noise that never stays."""
    shown = [frame // 8 for frame in clips.noise(6, 96, 128)]
    for step, frame in enumerate(shown):
        frame[30:60, 80 - 10 * step : 110 - 10 * step] = 250
    return shown


@pytest.fixture(scope="module")
def clip(frames, tmp_path_factory):
    return clips.encode(tmp_path_factory.mktemp("clips") / "a.mp4", frames, rate=8)


def expected(clip, first, weights, folder):
    images = folder / "vbench2_beta_i2v" / "data" / "crop" / "1-1"
    for made in (images, folder / "videos", folder / "hub" / "checkpoints"):
        made.mkdir(parents=True)
    Image.fromarray(first).save(images / "a.png")
    (folder / "videos" / f"{PROMPT}-0.mp4").symlink_to(clip)
    entry = {"prompt_en": PROMPT, "image_name": "a.png", "dimension": DIMENSIONS}
    (folder / "info.json").write_text(json.dumps([entry]))
    for name in ("dino_model/dino_vitbase16_pretrain.pth", "cotracker_model/cotracker2.pth"):
        (folder / "hub" / "checkpoints" / Path(name).name).symlink_to(weights / name)
    zipfile.ZipFile(weights / "dreamsim_model" / "pretrained.zip").extractall(folder / "models")
    tracker = str(weights / "cotracker_model" / "facebookresearch_co-tracker_main")
    words = [sys.executable, "-c", ORACLE, str(folder / "videos"), tracker, *DIMENSIONS]
    more = {"TORCH_HOME": str(folder), "VBENCH_CACHE_DIR": str(weights)}
    done = harness.command(*words, cwd=folder, PYTHONPATH=str(weights / "package"), **more)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "scored_eval_results.json").read_text())
    return {name: found[name][-1][0]["video_results"] for name in DIMENSIONS}


def test_scores_are_what_the_package_gives(quality, clip, frames, weights, tmp_path):
    known, cache = Conditions(frames[0], prompt=PROMPT), user_cache()
    ours = quality.measure(clip, cache, known)
    theirs = expected(clip, frames[0], weights, tmp_path)
    assert {name: score.value for name, score in ours.items()} == pytest.approx(theirs, abs=1e-6)
    assert quality.measure(clip, cache, known) == ours
    left = Conditions(255 - frames[0], prompt=PROMPT.replace("right", "left"))
    other = quality.measure(clip, cache, left)
    assert (ours[CAMERA].value, other[CAMERA].value) == (1.0, 0.0)
    assert all(other[name].value < ours[name].value for name in FIRST_FRAME)


def test_what_is_not_known_or_absent_has_its_reason(quality, clip, frames, tmp_path, monkeypatch):
    unknown = Conditions(prompt="a cat", absent="images/ has no a.png")
    assert quality.measure(clip, None, unknown) == {
        **dict.fromkeys(FIRST_FRAME, Score(None, "not run: images/ has no a.png")),
        CAMERA: Score(None, "not run: the prompt names no motion of the camera"),
    }
    known = Conditions(frames[0], prompt=PROMPT)
    short = clips.encode(tmp_path / "short.mp4", frames[:1], rate=8)
    refused = Score(None, "it needs 2 frames, this clip has 1")
    assert quality.measure(short, None, known) == dict.fromkeys(DIMENSIONS, refused)
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "dreamsim", None)
    scores = VBench(DIMENSIONS, device="cpu").measure(clip, None, known)
    reason = "not run: the package dreamsim is absent, get it by make setup"
    assert scores["i2v_background"].reason == reason
    assert scores[CAMERA].reason.endswith("get them by make weights QUALITY=vbench/camera_motion")


@pytest.mark.parametrize("damaged", [
    pytest.param(lambda data: b"", id="empty", marks=pytest.mark.slow),
    pytest.param(lambda data: data[:200], id="cut off"),
    pytest.param(
        lambda data: data[:500] + bytes([data[500] ^ 1]) + data[501:],
        id="a bit", marks=pytest.mark.slow,
    ),
])  # fmt: skip
def test_a_damaged_archive_of_weights_is_refused_once_and_for_all(
    damaged, clip, frames, weights, tmp_path, monkeypatch
):
    shutil.copytree(weights, tmp_path / "weights")
    archive = tmp_path / "weights" / "dreamsim_model" / "pretrained.zip"
    archive.write_bytes(damaged(archive.read_bytes()))
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "weights"))
    made = VBench(["i2v_background"], device="cpu")
    score = made.measure(clip, None, Conditions(frames[0]))["i2v_background"]
    made.close()
    assert score.value is None
    assert re.search(r"pretrained.zip are damaged \(.+\), remove them and get", score.reason)


def test_motions_are_those_that_vbench_reads_in_names():
    (folder,) = find_spec("vbench2_beta_i2v").submodule_search_locations
    source = Path(folder, "camera_motion.py").read_text()
    assert tuple(re.findall(r'"(camera [a-z ]+)":', source)) == MOTIONS
    assert motion_of("A cat.\nCamera zooms  in slowly") == "camera zooms in"
    assert motion_of("a camera on a table") == ""


def test_psnr_is_scikit_images_up_to_what_rounding_allows():
    made, asked = clips.noise(2, 24, 32)
    assert psnr(made, asked) == pytest.approx(peak_signal_noise_ratio(asked, made, data_range=255))
    assert psnr(made ^ 1, made) == pytest.approx(20 * log10(255))  # one grey level: MSE 1
    assert psnr(made, made) == MAXIMAL_PSNR == pytest.approx(58.92, abs=0.01)
    single = made.copy()
    single[0, 0, 0] ^= 1  # below what rounding makes: as good as identical
    assert psnr(single, made) == MAXIMAL_PSNR
    assert psnr(np.zeros_like(made), np.full_like(made, 255)) == FIDELITY["first_psnr"].minimum


def test_ends_are_compared_with_their_own():
    first, last, start, end = clips.noise(4, 24, 32)
    histogram = load_embedder("histogram")
    found = end_fidelity(first, last, Conditions(start, end), histogram)
    a, b, c, d = spf.embed(np.stack([first, start, last, end]), "histogram").astype(np.float64)
    assert found == pytest.approx(
        {
            "first_psnr": peak_signal_noise_ratio(start, first, data_range=255),
            "last_psnr": peak_signal_noise_ratio(end, last, data_range=255),
            "first_angle": np.arccos(a @ b),
            "last_angle": np.arccos(c @ d),
        },
        abs=1e-6,
    )
    alone = {"first_psnr": MAXIMAL_PSNR, "last_psnr": nan, "first_angle": 0.0, "last_angle": nan}
    for asked, expected in ((first, alone), (None, dict.fromkeys(FIDELITY, nan))):
        found = end_fidelity(first, last, Conditions(asked), histogram)
        assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("shape", "size", "white"), [
    ((20, 60), (10, 10), np.s_[:, 20:40]),  # wider: its sides are cut
    ((60, 20), (10, 10), np.s_[20:40]),  # higher: top and bottom
    ((20, 40), (10, 20), np.s_[:]),  # of the same aspect: nothing
])  # fmt: skip
def test_an_image_of_another_aspect_is_cut_to_its_middle(shape, size, white):
    image = np.zeros((*shape, 3), np.uint8)
    image[white] = 255
    assert (cropped(image, size) == np.full((*size, 3), 255)).all()
