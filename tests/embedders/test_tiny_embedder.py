"""The shipped embedder: its file, and what it sees."""

from dataclasses import replace

import numpy as np
import pytest
from clips import refused
from safetensors.numpy import load_file, save_file

import spf
from benchmarks.known_pacing.errors import calibrate
from spf.embedders import label
from spf.embedders.tiny import SHIPPED, TinyEmbedder
from spf.errors import UnavailableError
from synthetic.clips import FIRST_HELD_OUT_SEED, Still, SyntheticClip, content
from synthetic.laws import law
from synthetic.motion import motion


@pytest.mark.parametrize(
    "name", ["moon-tissue-dissolve", "material-jade-copper", "cat-motorcycle-warp"]
)
def test_it_follows_the_meaning_and_neither_camera_codec_noise_nor_light(name):
    """Of held-out morphs."""
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
