"""A second embedder looks at what was retimed by the first one."""

import json

import harness
import numpy as np
import pytest
from clips import refused
from pacings import curve_of

import spf
from spf.cli import main
from spf.embedders import DEFAULT_EMBEDDER, check_embedder, load_embedder
from spf.pacing.check import CHECKING, disagreements

U = np.linspace(0, 1, 101)
STILL = np.interp(U, [0, 0.7, 1], [0, 0.97, 1])  # its end at a tenth of the mean speed


@pytest.mark.parametrize(("one", "other"), [
    (U**2, U**2),
    (U, 0.9 * U + 0.1 * U**2),
    (0 * U, U),
    [np.interp(U, [0, 0.4, 0.6, 1], [0, low, 1 - low, 1]) for low in (0.5, 0.48)],
], ids=["equal", "nearly", "nothing to compare", "still by both"])  # fmt: skip
def test_what_agrees(one, other):
    assert disagreements(curve_of(one), curve_of(other)) == []


def test_a_stretch_that_stands_still_by_one_alone_is_found():
    (found,) = disagreements(curve_of(U), curve_of(STILL))
    # Ten steps of which k lie before it hold k 0.97 / 0.7 + (10 - k) 0.1 hundredths: half of a
    # tenth up to k = 3.
    assert (found.start, found.stop, found.start_time, found.stop_time) == (67, 100, 67, 100)
    assert found.speeds == pytest.approx((1, (1 - STILL[67]) / 0.33))
    (turned,) = disagreements(curve_of(STILL), curve_of(U))
    assert turned.speeds == found.speeds[::-1]
    (early,) = disagreements(curve_of(U), curve_of(1 - STILL[::-1]))
    assert (early.start, early.stop) == (0, 33)
    with pytest.raises(ValueError, match="101 and 50 frames"):
        disagreements(curve_of(U), curve_of(U[:50]))


@pytest.mark.parametrize("name", ["tiny", "histogram", "efficientnet"])
def test_the_rule_gives_everyone_another_embedder(name):
    first = load_embedder(name)
    other = "histogram" if name == DEFAULT_EMBEDDER else DEFAULT_EMBEDDER
    assert check_embedder("auto", first).name == other
    assert check_embedder(None, first) is check_embedder("none", first) is None
    with refused(f"embedder {name} .*cannot check itself"):
        check_embedder(name, first)


@pytest.fixture
def clip(tmp_path):
    """A dissolve in the first half; in the second, a last dissolve of the brightness alone, which
    the colours see and the edges do not."""
    frames = harness.dissolve(np.clip(np.linspace(0, 2, 41), 0, 1))
    fading = 1 - 0.6 * np.clip(np.linspace(-1, 1, 41), 0, 1)
    frames = [np.rint(x * share).astype(np.uint8) for x, share in zip(frames, fading, strict=True)]
    return harness.save(tmp_path / "clip.mp4", frames)


class Edges(harness.Linear):
    """Sees the contrast between the cells of a picture, whatever its brightness."""

    name = "edges"

    def prepare(self, image: np.ndarray) -> np.ndarray:
        cells = image.reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)).ravel()
        return cells / np.linalg.norm(cells)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return batch.astype(np.float32)


def test_a_result_that_stands_still_by_the_second_embedder_is_reported(clip, tmp_path):
    stages = []
    done = spf.retime(
        clip, tmp_path / "out.mp4", embedder="pixels", check=Edges(),
        on_progress=lambda stage, *_: stages.append(stage),
    )  # fmt: skip
    assert {*CHECKING} < {*stages}
    assert list(done.check.before) == list(done.before)
    assert done.after["linearity_mae"] < 0.02 < done.check.after["linearity_mae"]
    (found,) = [one for one in done.check.disagreements if one.speeds[1] < one.speeds[0]]
    assert found.speeds[1] < 0.3
    seconds = done.curve.times
    assert found.stop_time == seconds[-1]
    assert 0.3 < found.start_time / seconds[-1] < 0.8
    assert any(f"{found.stop_time:.2f} s pass at" in line for line in done.check.lines())


def test_the_command_prints_and_writes_it(clip, tmp_path, capsys):
    words = f"retime {clip} --embedder pixels --out {tmp_path}/a.mp4 --method nearest".split()
    assert main([*words, "--check-embedder", "histogram"]) == 0
    output = capsys.readouterr().out
    assert "by pixels          by histogram" in output
    check = json.loads((tmp_path / "a.json").read_text())["check"]
    assert check["embedder"] == "histogram (control)"
    for one in check["disagreements"]:
        assert f"{one['start_time']:.2f} to {one['stop_time']:.2f} s pass at" in output
    assert main([*words, "--check-embedder", "none"]) == 0
    assert "by histogram" not in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["check"] is None
