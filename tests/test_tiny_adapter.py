"""The shipped generator's adapter; tests/test_tiny_generator.py judges what it draws."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict

import numpy as np
import pipelines
import pytest
from adapters import asked, one_line

from spf.errors import UnavailableError
from spf.generators.tiny.adapter import FILES, WEIGHTS, Tiny
from spf.pacing.warp import Warp

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_each_file_of_the_weights_is_looked_for(name, damage, tmp_path):
    shutil.copytree(WEIGHTS, tmp_path, dirs_exist_ok=True)
    file = tmp_path / name
    kept = {"gone": b"", "empty": b"", "cut": file.read_bytes()[:-5]}[damage]
    file.unlink()
    if damage != "gone":
        file.write_bytes(kept)
    model = Tiny(path=str(tmp_path))
    fault = "is not there" if damage == "gone" else "cannot be read"
    for act in (model.check, model.identity, lambda: model.size, lambda: model.clock(asked())):
        with pytest.raises(UnavailableError, match=f"{file} {fault}.*; model.path needs") as caught:
            act()
        one_line(caught)
        assert caught.value.exit_code == 3


@pytest.fixture
def untrained(tmp_path):
    """The shipped generator's network with random weights."""
    from spf.generators.tiny.sampling import SETTINGS_FILE, Settings

    model = pipelines.wan_transformer(channels=10, out_channels=3, text_dim=8, num_layers=1)
    model.save_pretrained(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(asdict(Settings(num_steps=2))))
    return Tiny(path=tmp_path)


def test_tiny_follows_the_protocol(untrained):
    request = asked(prompt="", steps=None)
    clip = untrained.generate(request)
    assert clip.frames.shape == (9, 32, 32, 3)
    assert clip.notes == ["frames resized from 48x32 to 32x32"]
    clock = untrained.clock(request)
    assert clock.positions.tolist() == list(range(9))  # a latent is a frame
    steps: list[tuple[int, int]] = []
    watch = lambda done, total: steps.append((done, total))  # noqa: E731
    still = Warp.from_time_map(clock, np.arange(9.0), gamma="none")
    np.testing.assert_array_equal(untrained.generate(request, still, watch).frames, clip.frames)
    assert steps == [(1, 2), (2, 2)]
    tau = 8 * (np.arange(9) / 8) ** 3
    warped = untrained.generate(request, Warp.from_time_map(clock, tau, gamma="none")).frames
    assert (warped != clip.frames).any()
    np.testing.assert_array_equal(untrained.generate(request).frames, clip.frames)
    assert "prompt is passed over" in untrained.generate(asked()).notes[0]
    assert untrained.identity()["files"]
