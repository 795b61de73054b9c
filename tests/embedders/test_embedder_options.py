"""`--embedder NAME[/VARIANT]` and `--weights FOLDER`: every command that measures has them."""

import json
import sys
from dataclasses import replace

import harness
import numpy as np
import pytest
from clips import refused
from huggingface_hub import constants
from test_towers import frame, library_dinov2, library_open_clip
from test_weights import put

import spf
from spf.cli import main
from spf.embedders import available, efficientnet, label, load_embedder
from spf.video import write_png
from spf.weights import EMBEDDER_PINS

VARIANTS = {"siglip": "b16-384", "clip": "l14-openai", "dinov2": "small"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub without anything in it."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def fetched(hub, tower_folders, monkeypatch):
    """Small towers in the hub's cache, under the names of variants; no hash is pinned."""
    for family, variant in VARIANTS.items():
        pin = replace(EMBEDDER_PINS[family][variant], sha256=None)
        monkeypatch.setitem(EMBEDDER_PINS[family], variant, pin)
        commit = pin.revision or "f" * 40
        snapshot = put(hub, pin, commit)
        for name in pin.files:
            (snapshot / name).resolve().write_bytes((tower_folders[family] / name).read_bytes())
        harness.touch(snapshot.parents[1], "refs/main")
        (snapshot.parents[1] / "refs" / "main").write_text(commit)
    return tower_folders


def frames() -> list[np.ndarray]:
    """A dissolve between two pictures (48, 64, 3)."""
    first, last = (frame(48, 64, seed).astype(float) for seed in (1, 2))
    return [np.rint(first + u**2 * (last - first)).astype(np.uint8) for u in np.linspace(0, 1, 9)]


@pytest.fixture
def images(tmp_path):
    """A clip without loss: a folder of nine PNGs."""
    write_png(tmp_path / "clip", frames())
    return tmp_path / "clip"


@pytest.fixture
def line_of(images, tmp_path, capsys):
    """The one line of a command that does not begin, checked to write nothing."""

    def line_of(command, words, code):
        out = [str(tmp_path / "out")] if command == "corpus" else ["--out", str(tmp_path / "out")]
        assert main([command, str(images), *out, *words]) == code
        output = capsys.readouterr()
        assert output.out == ""
        assert "embedder.path" not in output.err
        assert not (tmp_path / "out").exists()
        return harness.check_one_line(output.err)

    return line_of


@pytest.mark.parametrize(
    ("family", "by"),  # OpenAI's variant of clip has another activation than its file says
    [*((family, "folder") for family in VARIANTS), ("siglip", "variant"), ("dinov2", "variant")],
)
def test_analyze_prints_the_scores_of_the_librarys_own_vectors(
    family, by, fetched, images, monkeypatch, capsys
):
    library = library_dinov2 if family == "dinov2" else library_open_clip
    _, vectors = library(fetched[family], frames())
    expected = spf.score(spf.fit(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)))
    monkeypatch.chdir(fetched[family].parent)
    name = f"{family}/{VARIANTS[family]}" if by == "variant" else family
    more = [] if by == "variant" else ["--weights", family]
    assert main(["analyze", str(images), "--no-plot", "--json", "--embedder", name, *more]) == 0
    output = capsys.readouterr()
    shown = name if by == "variant" else f"{family} (local weights)"
    assert f"embedder: {shown}\n" in output.err
    (row,) = json.loads(output.out)["rows"]
    assert {metric: row[metric] for metric in expected} == pytest.approx(expected, abs=1e-5)


def test_python_takes_variants_too(fetched, images, tmp_path):
    _, vectors = library_open_clip(fetched["siglip"], frames())
    siglip, dinov2 = "siglip/b16-384", "dinov2/small"
    np.testing.assert_allclose(spf.embed(images, embedder=siglip), vectors, atol=1e-5)
    done = spf.retime(images, tmp_path / "even.mp4", embedder=siglip, check=dinov2, fps=9)
    assert (label(done.check.steering), label(done.check.embedder)) == (siglip, dinov2)
    assert done.after["target_mae"] < done.before["target_mae"]
    assert {siglip, dinov2} < {*available()}
    with refused("multiple values for keyword argument 'model'"):
        load_embedder(siglip, model="b16-512")


@pytest.mark.parametrize("command", ["analyze", "retime", "timemap", "compare", "corpus"])
@pytest.mark.parametrize(("words", "code", "message"), [
    ("--embedder siglp/b16-384", 2, "unknown embedder 'siglp'; did you mean siglip?"),
    ("--embedder dinov2/larg", 2, "unknown dinov2 variant 'larg'; did you mean large?"),
    ("--embedder pixels/16", 2, "embedder pixels has no variants; write pixels"),
    ("--embedder=", 2, "unknown embedder ''; known: clip, dinov2, efficientnet"),
    ("--embedder pixels --weights x", 2, "embedder pixels takes no weights; leave"),
    ("--weights https://h/x", 2, "https://h/x: network sources are not opened; download"),
    ("--weights=", 2, "--weights names no folder; the current one is ."),
    ("--embedder siglip/b16-384", 3, "make weights EMBEDDER=siglip/b16-384"),
    ("--embedder siglip/b16-384", 3, "or name a folder of them: --weights FOLDER"),
])  # fmt: skip
def test_wrong_names_and_missing_weights_are_refused(command, words, code, message, hub, line_of):
    assert message in line_of(command, words.split(), code)


@pytest.mark.parametrize(("words", "code", "message"), [
    ("siglp", 2, "did you mean siglip"),
    ("histogram --check-weights x", 2, "leave --check-weights out"),
    ("efficientnet", 2, "efficientnet (ImageNet) cannot check itself"),
    ("siglip", 3, "or name a folder of them: --check-weights FOLDER"),
])  # fmt: skip
def test_a_second_embedder_that_cannot_be_is_refused(words, code, message, hub, line_of):
    text = line_of("retime", ["--check-embedder", *words.split()], code)
    assert message in text
    assert " --weights" not in text


@pytest.mark.parametrize(("name", "folder", "message"), [
    ("siglip", "clip", "the weights are of another kind of model"),
    ("dinov2", "clip", "config.json is not there"),
    ("efficientnet", "clip", f"{efficientnet.FILE}: No such file"),
    ("tiny", "clip", "tiny.safetensors: No such file"),
    ("clip/b32-laion2b", "clip", "its SHA-256 is"),
    ("siglip", "nowhere", "nowhere: open_clip_config.json is not there, nor is the folder"),
])  # fmt: skip
@pytest.mark.parametrize("command", ["analyze", "compare"])
def test_a_folder_of_other_weights_exits_3(command, name, folder, message, tower_folders, line_of):
    weights = str(tower_folders.get(folder, folder))
    assert message in line_of(command, ["--embedder", name, "--weights", weights], 3)


@pytest.mark.parametrize(("state", "message"), [
    ("absent", f"{efficientnet.PACKAGE}, is not installed"),
    ("emptied", "No such file"),
    ("damaged", "it is not the file that"),
])  # fmt: skip
def test_a_package_of_weights_that_is_not_whole_exits_3(
    state, message, tmp_path, monkeypatch, line_of
):
    """The default embedder's. A package is found by its name, so another one can stand in."""
    package, shipped = efficientnet.PACKAGE.replace("-", "_"), efficientnet._shipped()
    models = tmp_path / "site" / package / "models"
    harness.touch(models.parent, "__init__.py", "models/none")
    if state == "absent":
        monkeypatch.setitem(sys.modules, package, None)
    else:
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
    if state == "damaged":
        whole = bytearray(shipped.read_bytes())
        whole[len(whole) // 2] ^= 1
        (models / shipped.name).write_bytes(whole)
    text, remedy = line_of("analyze", [], 3).split("; pip install --force-reinstall ")
    assert text.startswith("embedder efficientnet: ")
    assert message in text
    assert remedy == f"{efficientnet.PACKAGE}==0.1.0"
