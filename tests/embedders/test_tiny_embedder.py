"""The shipped embedder: its file, its exactness, what it sees, and the script that trains it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spf
from benchmarks.known_pacing.errors import calibrate
from spf.embedders import label
from spf.embedders.tiny import SHIPPED, Tiny
from spf.errors import UnavailableError
from synthetic.clips import FIRST_HELD_OUT_SEED, Still, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import motion

ROOT = Path(__file__).resolve().parents[2]
CONTENTS = ("moon-tissue-dissolve", "material-jade-copper", "cat-motorcycle-warp")


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    return Tiny()


@pytest.fixture(scope="module")
def measured(tiny: Tiny) -> dict[tuple[str, str], spf.Curve]:
    """Curves of three held-out morphs: (content, what was done to it)."""
    found = {}
    for name in CONTENTS:
        base = SyntheticClip(content(name), seed=FIRST_HELD_OUT_SEED)
        morph = replace(base, law=law("ease_in_out"))
        camera = motion("translation", "moderate")
        clips = {
            "reference": base,
            "still": replace(base, content=Still(base.content), motion=camera),
            "morph": morph,
            "morph filmed": replace(morph, motion=camera),
            "morph coded": replace(morph, motion=motion("compression", 0.2)),  # crf 35
            "morph noisy": replace(morph, motion=motion("noise", 0.05)),  # 1% of the range
        }
        for word, clip in clips.items():
            frames = np.stack(list(clip.frames()))
            found[name, word] = spf.fit(spf.embed(frames, embedder=tiny))
            if word == "morph":
                for gain in (0.8, 1.2):
                    light = np.clip(frames * gain, 0, 255).astype(np.uint8)
                    found[name, f"light {gain}"] = spf.fit(spf.embed(light, embedder=tiny))
    return found


def test_vectors_do_not_depend_on_batches_or_threads(tiny: Tiny) -> None:
    import torch

    frames = np.random.default_rng(0).integers(0, 256, (12, 50, 70, 3), np.uint8)
    whole = spf.embed(frames, embedder=tiny)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        for size in (1, 5):
            assert np.array_equal(spf.embed(frames, embedder=tiny, batch_size=size), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", CONTENTS)
def test_it_follows_the_meaning_and_not_the_camera(
    measured: dict[tuple[str, str], spf.Curve], name: str
) -> None:
    base = SyntheticClip(content(name), law=law("ease_in_out"))
    reference = measured[name, "reference"]
    assert measured[name, "still"].total_change < 0.45 * reference.total_change
    for word, bar in (("morph", 0.03), ("morph filmed", 0.06)):
        curve = measured[name, word]
        error = calibrate(curve.progress, base.truth(), base.shares, reference.progress).error
        assert error < bar, word


@pytest.mark.parametrize("word", ["morph coded", "morph noisy", "light 0.8", "light 1.2"])
def test_codec_noise_and_light_hardly_matter(
    measured: dict[tuple[str, str], spf.Curve], word: str
) -> None:
    for name in CONTENTS:
        plain, disturbed = (spf.score(measured[name, w]) for w in ("morph", word))
        assert abs(plain["linearity_mae"] - disturbed["linearity_mae"]) <= 0.02, name


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(SHIPPED.read_bytes()[:5000])
    other = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, other)
    for path, reason in (
        (tmp_path / "none.safetensors", "No such file"),
        (cut, "damaged"),
        (other, "another network"),
    ):
        with pytest.raises(UnavailableError, match=reason) as caught:
            Tiny(path)
        assert "\n" not in str(caught.value)


def test_identity_names_the_weights(tiny: Tiny, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    copy, other = tmp_path / "copy.safetensors", tmp_path / "other" / SHIPPED.name
    copy.write_bytes(SHIPPED.read_bytes())
    other.parent.mkdir()
    save_file({name: 2 * values for name, values in load_file(SHIPPED).items()}, other)
    assert Tiny(copy).identity() == tiny.identity()
    assert Tiny(other).identity() != tiny.identity()
    assert Tiny(other.parent).identity() == Tiny(other).identity()
    assert (label(tiny), label(Tiny(copy))) == ("tiny (shipped)",) * 2
    assert label(Tiny(other)) == "tiny (local weights)"


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import train_tiny_embedder

    yield train_tiny_embedder
    for name in ("train_tiny_embedder", "procedural_images"):
        sys.modules.pop(name, None)
