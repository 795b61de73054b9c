"""`--embedder NAME[/VARIANT]` and `--weights FOLDER`: every command that measures has them."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import harness
import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image
from test_towers import frame, library_dinov2, library_open_clip
from test_weights import put

import spf
from spf.cli import main
from spf.embedders import available, efficientnet, label, load_embedder
from spf.errors import ConfigError
from spf.weights import EMBEDDER_PINS

COMMANDS = ("analyze", "retime", "timemap", "compare", "corpus")
VARIANTS = {"siglip": "b16-384", "clip": "l14-openai", "dinov2": "small"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub without anything in it."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def fetched(
    hub: Path, tower_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Path]:
    """Small towers in the hub's cache, under the names of variants; no hash is pinned."""
    for family, variant in VARIANTS.items():
        pin = replace(EMBEDDER_PINS[family][variant], sha256=None)
        monkeypatch.setitem(EMBEDDER_PINS[family], variant, pin)  # type: ignore[arg-type]
        commit = pin.revision or "f" * 40
        snapshot = put(hub, pin, commit)
        for name in pin.files:
            (snapshot / name).resolve().write_bytes((tower_folders[family] / name).read_bytes())
        refs = snapshot.parent.parent / "refs"
        refs.mkdir()
        (refs / "main").write_text(commit)
    return tower_folders


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A clip without loss: a folder of nine PNGs."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for index, pixels in enumerate(frames()):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def frames() -> list[np.ndarray]:
    """A dissolve between two pictures (48, 64, 3)."""
    first, last = (frame(48, 64, seed).astype(float) for seed in (1, 2))
    return [np.rint(first + u**2 * (last - first)).astype(np.uint8) for u in np.linspace(0, 1, 9)]


def arguments(command: str, clip: Path, out: Path) -> list[str]:
    """A command that measures a clip, or a folder of clips, and writes to `out`."""
    return [command, str(clip), *(["--out"] if command != "corpus" else []), str(out)]


def refused(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that does not begin."""
    assert main(words) == code
    output = capsys.readouterr()
    assert output.out == ""
    return harness.check_one_line(output.err)


@pytest.mark.parametrize(
    ("word", "by"),  # OpenAI's variant of clip has another activation than its file says
    [*((word, "folder") for word in VARIANTS), ("siglip", "variant"), ("dinov2", "variant")],
)
def test_analyze_prints_the_scores_of_the_librarys_own_vectors(
    word: str, by: str, fetched: dict[str, Path], images: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    library = library_dinov2 if word == "dinov2" else library_open_clip
    _, vectors = library(fetched[word], frames())
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = spf.score(spf.fit(vectors))
    monkeypatch.chdir(fetched[word].parent)
    name = f"{word}/{VARIANTS[word]}" if by == "variant" else word
    more = [] if by == "variant" else ["--weights", word]
    assert main(["analyze", str(images), "--no-plot", "--json", "--embedder", name, *more]) == 0
    output = capsys.readouterr()
    assert f"embedder: {name if by == 'variant' else f'{word} (local weights)'}\n" in output.err
    (row,) = json.loads(output.out)["rows"]
    for metric, value in expected.items():
        assert row[metric] == pytest.approx(value, abs=1e-5), metric


def test_python_takes_variants_too(fetched: dict[str, Path], images: Path, tmp_path: Path) -> None:
    _, vectors = library_open_clip(fetched["siglip"], frames())
    found = spf.embed(images, embedder="siglip/b16-384")
    np.testing.assert_allclose(found, vectors, atol=1e-5)
    curve = spf.measure(images, embedder="siglip/b16-384")
    np.testing.assert_allclose(curve.progress, spf.fit(vectors).progress, atol=1e-5)
    done = spf.retime(
        images, tmp_path / "even.mp4", embedder="siglip/b16-384", check="dinov2/small", fps=9
    )
    assert done.check is not None
    assert label(done.check.steering) == "siglip/b16-384"
    assert label(done.check.embedder) == "dinov2/small"
    assert done.after["target_mae"] < done.before["target_mae"]
    assert {"siglip/b16-384", "dinov2/small"} < {*available()}
    with pytest.raises(ConfigError, match="multiple values for keyword argument 'model'"):
        load_embedder("siglip/b16-384", model="b16-512")


@pytest.mark.slow
def test_compare_takes_a_variant_in_a_folder(fetched: dict[str, Path], tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    words = ["compare", str(clips), "--embedder", "siglip/b16-384"]
    words += ["--weights", os.path.relpath(fetched["siglip"], tmp_path), "--out", "out"]
    done = harness.command(*harness.SPF, *words, cwd=tmp_path, WANDB_MODE="disabled")
    assert done.returncode == 0, done.stderr
    records = harness.read_records(harness.only_run(tmp_path / "out"))
    assert set(records["embedder"]) == {"siglip"}
    expected = load_embedder("siglip/b16-384", path=fetched["siglip"]).identity()
    assert set(records["weights_hash"]) == {expected["weights"]}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--embedder", "siglp/b16-384"], 2, "unknown embedder 'siglp'; did you mean siglip?"),
        (["--embedder", "dinov2/larg"], 2, "unknown dinov2 variant 'larg'; did you mean large?"),
        (["--embedder", "pixels/16"], 2, "embedder pixels has no variants; write pixels"),
        (["--embedder", ""], 2, "unknown embedder ''; known: clip, dinov2, efficientnet"),
        (["--embedder", "pixels", "--weights", "x"], 2, "embedder pixels takes no weights; leave"),
        (["--weights", "https://h/x"], 2, "https://h/x: network sources are not opened; download"),
        (["--weights="], 2, "--weights names no folder; the current one is ."),
        (["--embedder", "siglip/b16-384"], 3, "make weights EMBEDDER=siglip/b16-384"),
        (["--embedder", "siglip/b16-384"], 3, "or name a folder of them: --weights FOLDER"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_names_and_missing_weights_are_refused(
    command: str, words: list[str], code: int, said: str, hub: Path, images: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = arguments(command, images, tmp_path / "out")
    text = refused([*asked, *words], code, capsys)
    assert said in text
    assert "embedder.path" not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--check-embedder", "siglp"], 2, "did you mean siglip"),
        (["--check-embedder", "histogram", "--check-weights", "x"], 2, "leave --check-weights out"),
        (["--check-weights", "x"], 2, "--check-weights is for --check-embedder NAME"),
        (["--check-embedder", "efficientnet"], 2, "efficientnet (ImageNet) cannot check itself"),
        (["--check-embedder", "siglip"], 3, "or name a folder of them: --check-weights FOLDER"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_second_embedder_that_cannot_be_is_refused(
    words: list[str], code: int, said: str, hub: Path, images: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asked = arguments("retime", images, tmp_path / "out")
    text = refused([*asked, *words], code, capsys)
    assert said in text
    assert "embedder.path" not in text
    assert " --weights" not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("word", "other", "said"),
    [
        ("siglip", "clip", "the weights are of another kind of model"),
        ("dinov2", "clip", "config.json is not there"),
        ("efficientnet", "clip", f"{efficientnet.FILE}: No such file"),
        ("tiny", "clip", "tiny.safetensors: No such file"),
        ("clip/b32-laion2b", "clip", "its SHA-256 is"),
        ("siglip", "nowhere", "nowhere: open_clip_config.json is not there, nor is the folder"),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "compare"])
def test_a_folder_of_other_weights_exits_3(
    command: str, word: str, other: str, said: str, tower_folders: dict[str, Path], images: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tower_folders.get(other, tmp_path / other)
    words = ["--embedder", word, "--weights", str(folder)]
    text = refused([*arguments(command, images, tmp_path / "out"), *words], 3, capsys)
    assert said in text
    assert "embedder.path" not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("state", ["absent", "emptied", "damaged"])
def test_a_package_of_weights_that_is_not_whole_exits_3(
    state: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The default embedder's. A package is found by its name, so another one can stand in."""
    package = efficientnet.PACKAGE.replace("-", "_")
    shipped = efficientnet._shipped()
    assert shipped is not None
    module = tmp_path / "site" / package / "__init__.py"
    harness.touch(module.parent, module.name)
    if state == "absent":
        monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
        said = f"{efficientnet.PACKAGE}, is not installed"
    else:
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        said = "No such file" if state == "emptied" else "it is not the file that"
    if state == "damaged":
        (module.parent / "models").mkdir()
        whole = bytearray(shipped.read_bytes())
        whole[len(whole) // 2] ^= 1
        (module.parent / "models" / shipped.name).write_bytes(whole)
    text = refused(arguments("analyze", images, tmp_path / "out"), 3, capsys)
    assert text.startswith("embedder efficientnet: ")
    assert said in text
    assert text.endswith(f"; pip install --force-reinstall {efficientnet.PACKAGE}==0.1.0")
    assert not (tmp_path / "out").exists()
