"""`spf.retime(method="regenerate")` and `spf retime --method regenerate`: a clip generated anew."""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import clips
import harness
import numpy as np
import pytest

import spf
from spf.cli import main
from spf.errors import ConfigError, SpfError
from spf.generators import MODELS, load_generator
from spf.generators.base import GeneratedClip, Request
from spf.generators.clock import Clock, latent_clock
from spf.generators.counts import Counts
from spf.retime.strategies import Regenerate
from spf.retiming import STAGES, PlanAnew
from spf.video import load, write_mp4

FILES = ["{}.json", "{}.mp4", "{}.png", "{}.segments", "{}.side-by-side.mp4"]
COUNT = 33


class Fader:
    """Cross-fades from the first frame to the last, all of it in the middle third of the time
    unless its clock is warped. It takes four steps, and makes 4n + 1 frames."""

    name: ClassVar[str] = "fader"
    steers: ClassVar[bool] = True
    requests: ClassVar[list[Request]] = []
    fail_at: ClassVar[int | None] = None

    def __init__(self, longest: int | None = 17, factor: int = 4) -> None:
        self.counts = Counts(factor, factor + 1, longest)

    def check(self) -> None: ...

    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "counts": str(self.counts)}

    def clock(self, request: Request) -> Clock:
        return latent_clock(request.num_frames or 17, 1)

    def generate(self, request: Request, warp: Any = None, watch: Any = None) -> GeneratedClip:
        self.requests.append(request)
        if len(self.requests) == self.fail_at:
            raise KeyboardInterrupt
        for step in range(4 if watch else 0):
            watch(step + 1, 4)
        at = self.clock(request).positions + (0 if warp is None else warp.shift)
        share = np.clip(3 * at / at[-1] - 1, 0, 1)[:, None, None, None]
        assert request.last is not None
        frames = request.first + share * (request.last.astype(float) - request.first)
        return GeneratedClip(np.rint(frames).astype(np.uint8), float(request.fps or 8.0))


class Unsteered(Fader):
    """The same without a clock."""

    steers: ClassVar[bool] = False


@pytest.fixture(autouse=True)
def _fader(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--model tiny` is the fader, at which nothing has been asked yet."""
    monkeypatch.setitem(MODELS, "tiny", f"{__name__}.Fader")
    monkeypatch.setattr(Fader, "requests", [])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A dissolve of 33 frames at 12 a second, slow at both ends."""
    u = np.linspace(0, 1, COUNT)
    shares = np.where(u < 0.5, 4 * u**3, 1 - 4 * (1 - u) ** 3)
    return harness.save(tmp_path / "clip.mp4", harness.dissolve(shares))


def levels(frames: np.ndarray) -> np.ndarray:
    """Share (T,) of a dissolve that is done in its frames, by least squares."""
    first, last = (harness.picture(k).astype(float).ravel() for k in (0, 1))
    return (frames.reshape(len(frames), -1) - first) @ (last - first) / ((last - first) ** 2).sum()


def uneven(frames: np.ndarray) -> float:
    """Mean distance of a dissolve from an even one."""
    return float(np.abs(levels(frames) - np.linspace(0, 1, len(frames))).mean())


def retimed(clip: Path, out: str = "out.mp4", **more: Any) -> spf.Retimed:
    given = {"method": "regenerate", "generator": Fader(), "embedder": "pixels"} | more
    return spf.retime(clip, clip.with_name(out), **given)


def words(clip: Path, *more: str) -> list[str]:
    given = ["retime", str(clip), "--method", "regenerate", "--model", "tiny"]
    return [*given, "--embedder", "pixels", "--out", str(clip.parent / "made"), *more]


# The function


@pytest.mark.parametrize("count", [33, 41, 60])
def test_a_clip_is_made_anew_and_even(clip: Path, count: int) -> None:
    """By the pixels: even, with every keyframe of the clip where the plan has it."""
    done = retimed(clip, num_frames=count)
    made, source = load(done.out), load(clip)
    assert (len(made.frames), made.info.fps) == (count, 12)
    assert uneven(made.frames) < uneven(source.frames) / 3
    assert done.after["target_mae"] < done.before["target_mae"] / 3
    assert done.plain is not None
    assert done.after["target_mae"] < done.plain["target_mae"] / 2  # plainly generated, it jumps
    assert isinstance(done.plan, PlanAnew)
    assert len(done.plan.segments.pieces) > 2
    (shot,) = done.plan.segments.shots
    if shot.exact:
        at = shot.shown.astype(int)
        keyframes = done.plan.positions[at].astype(int)
        shown, there = levels(made.frames)[at], levels(source.frames)[keyframes]
        assert np.abs(shown - there).max() < 0.02
    else:
        assert any("brought to length by the time map" in note for note in done.notes)


def test_settings_reach_the_generator(clip: Path) -> None:
    given = {"n_segments": 2, "prompt": "a cat", "seed": 7, "strategy": "none", "cuts": "bridge"}
    for more in (given, {"method": Regenerate(**given)}):
        Fader.requests.clear()
        done = retimed(clip, out=f"{len(more)}.mp4", fps=24, **more)
        assert isinstance(done.plan, PlanAnew)
        assert done.plan.settings == Regenerate(**given)
        assert done.plain is None
        asked = {(request.prompt, request.seed, request.fps) for request in Fader.requests}
        assert asked == {("a cat", 7, 24.0)}
        assert len(Fader.requests) == len(done.plan.segments.pieces)
        assert load(done.out).info.fps == 24


def test_targets_and_unsteered_generators(clip: Path) -> None:
    done = retimed(clip, generator=Unsteered(9), target="ease-in", num_frames=65)
    assert done.plain is None
    assert "plain regeneration: fader has no clock to steer" in done.notes
    shown = levels(load(done.out).frames)
    assert np.abs(shown - np.linspace(0, 1, 65) ** 2).mean() < 0.06


def test_finished_segments_lie_where_they_are_wanted(clip: Path, tmp_path: Path) -> None:
    first = retimed(clip, folder=tmp_path / "kept")
    assert not (tmp_path / "out.segments").exists()
    assert list((tmp_path / "kept").glob("*.npz"))
    before = len(Fader.requests)
    again = retimed(clip, out="again.mp4", folder=tmp_path / "kept")
    assert len(Fader.requests) == before > 0
    assert first.out.read_bytes() == again.out.read_bytes()


def test_a_segment_that_vanishes_is_told(clip: Path, tmp_path: Path) -> None:
    def sweep(stage: str, count: int, total: int | None) -> None:
        if (stage, count) == (STAGES[4], 1):
            for file in (tmp_path / "out.segments").iterdir():
                file.unlink()

    with pytest.raises(SpfError, match="is missing or damaged; start again") as error:
        retimed(clip, watch=sweep)
    harness.check_one_line(str(error.value))
    assert sorted(os.listdir(tmp_path)) == ["clip.mp4", "out.segments"]


def test_sound_is_dropped_and_another_size_is_told(tmp_path: Path) -> None:
    path = clips.encode(tmp_path / "clip.mp4", harness.steady(25, power=3.0), rate=12, audio=True)

    class Small(Fader):
        size = (16, 24)

    done = retimed(path, generator=Small())
    assert "the sound is dropped: the pictures are made anew" in done.notes
    assert "frames resized from 32x32 to 24x16" in done.plan.notes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"generator": None}, "needs a generator"),
        ({"generator": "folder"}, "model=folder generates nothing; choose model=tiny"),
        ({"generator": "wan2"}, "did you mean wan22"),
        ({"cuts": "drop"}, "unknown way with cuts 'drop'"),
        ({"cut": "keep"}, "unknown setting of regenerate 'cut'; did you mean cuts"),
        ({"method": "flow"}, "method=flow takes no generator"),
        ({"method": "flow", "generator": None, "seed": 1}, "seed: only method=regenerate has"),
        ({"n_segments": 40}, "n_segments must lie between 1 and 16"),
    ],
)
def test_what_makes_no_sense_is_refused(
    clip: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        retimed(clip, **given)
    harness.check_one_line(str(error.value))
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_only_cuts_are_named_with_their_clip(tmp_path: Path) -> None:
    path = harness.save(tmp_path / "cut.mp4", harness.dissolve([0.0] * 12 + [1.0] * 12))
    with pytest.raises(SpfError, match=r"cut\.mp4: nothing changes but at its cuts; .*--cuts"):
        retimed(path)
    assert len(load(retimed(path, cuts="bridge").out).frames) == 24


def test_generators_by_word() -> None:
    mine = Fader()
    assert load_generator(mine) is mine
    made: Any = load_generator("command", command="x {first} {last} {output}", longest=9)
    assert made.counts == Counts(1, 2, 9)
    with pytest.raises(ConfigError, match="unknown setting of model command 'longst'; did you"):
        load_generator("command", longst=9)


# Memory


FEW, MANY = 41, 401
TALL = (640, 40)
"""Of pictures whose thumbnails are next to nothing."""


class Grey(Fader):
    """The same for pictures of one grey each, with little arithmetic."""

    def generate(self, request: Request, warp: Any = None, watch: Any = None) -> GeneratedClip:
        small = [x[:1, :1].copy() for x in (request.first, request.last)]
        made = super().generate(replace(request, first=small[0], last=small[1]), warp)
        return GeneratedClip(made.frames.repeat(TALL[0], 1).repeat(TALL[1], 2), made.fps)


def peak_of(count: int, folder: Path) -> int:
    """Bytes at most while a clip of `count` grey frames is made anew, in steered segments."""
    frames = (np.full((*TALL, 3), 255 * k // count, np.uint8) for k in range(count))
    path = folder / f"{count}.mp4"
    write_mp4(path, frames, 25)
    given = {"generator": Grey(), "embedder": harness.Linear(), "cache": False, "num_frames": count}
    tracemalloc.start()
    try:
        done = retimed(path, out=f"{count}.out.mp4", strategy="rope_flat", **given)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(done.plan, PlanAnew)
    assert done.plain is not None
    assert len(done.plan.segments.pieces) >= count / 16 - 1
    return most


def test_memory_is_that_of_a_segment_however_many_there_are(tmp_path: Path) -> None:
    """Ten times the frames, in ten times the segments: what grows are numbers, not pictures."""
    peak_of(21, tmp_path)  # imports
    few, many = peak_of(FEW, tmp_path), peak_of(MANY, tmp_path)
    print(few, many)
    assert many - few < 0.1 * (MANY - FEW) * TALL[0] * TALL[1] * 3


# The command


def test_the_command_writes_what_the_other_methods_write(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(clip, "--frames", "41", "--cuts", "bridge", "--seed", "3")) == 0
    out, stem = tmp_path / "made", "clip.mp4.retimed"
    assert sorted(os.listdir(out)) == sorted(name.format(stem) for name in FILES)
    said = capsys.readouterr().out
    for name in FILES:
        assert str(out / name.format(stem)) in said
    assert "unsteered" in said
    assert len(load(out / f"{stem}.mp4").frames) == 41
    assert load(out / f"{stem}.side-by-side.mp4").frames.shape[2] > 2 * 256
    report = json.loads((out / f"{stem}.json").read_text())
    assert report["method"] == "regenerate"
    assert report["scores"]["after"]["target_mae"] < report["scores"]["before"]["target_mae"] / 3
    columns = report["time_map"]
    assert {len(values) for values in columns.values()} == {41}
    assert (columns["source_frame"][0], columns["source_frame"][-1]) == (0, COUNT - 1)
    anew = report["regeneration"]
    assert (anew["model"], anew["settings"]["seed"]) == ("fader", 3)
    assert [anew["segments"][0]["start"], anew["segments"][-1]["stop"]] == [0, COUNT - 1]
    assert anew["scores_unsteered"]["target_mae"] > report["scores"]["after"]["target_mae"]


def test_dry_run_tells_the_segments_and_writes_nothing(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(clip, "--dry-run", "--frames", "39", "--segments", "3")) == 0
    said = capsys.readouterr().out
    assert "method   regenerate by fader, each segment steered by rope_flat" in said
    rows = [line.split() for line in said.splitlines() if "source frames" in line]
    assert [row[2] for row in rows] == ["0", *(row[4] for row in rows[:-1])]
    assert rows[-1][4] == str(COUNT - 1)
    assert sum(float(row[9]) for row in rows) == pytest.approx(38 / 12, abs=0.01)
    assert "steps by the time map" in said
    assert "note: the next longer clip brought to length by the time map" in said
    assert main(words(clip, "--dry-run", "--frames", "41", "--segments", "3")) == 0
    assert "steps rounded to" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["clip.mp4"]
    assert not Fader.requests


def test_a_second_start_resumes_after_the_finished_segments(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = retimed(clip, out="whole.mp4")
    count = len(Fader.requests)
    monkeypatch.setattr(Fader, "fail_at", count + 5)
    assert main(words(clip)) == 130
    out = tmp_path / "made"
    assert os.listdir(out) == ["clip.mp4.retimed.segments"]
    kept = list((out / "clip.mp4.retimed.segments").iterdir())
    assert len(kept) == 4
    assert main(words(clip)) == 0
    assert len(Fader.requests) == count + 5 + count - 4
    assert (out / "clip.mp4.retimed.mp4").read_bytes() == whole.out.read_bytes()


def test_a_bar_for_each_segment(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []

    class Bar:
        def __init__(self, total: int | None, unit: str, desc: str, **_: Any) -> None:
            self.total, self.unit, self.desc, self.n = total, unit, desc, 0
            bars.append(self)

        def update(self, more: int) -> None:
            self.n += more

        def close(self) -> None: ...

    monkeypatch.setattr("tqdm.tqdm", Bar)
    assert main(words(clip, "--segments", "4", "--frames", "41")) == 0
    ours = [bar for bar in bars if bar.desc.startswith("segment")]
    assert len(ours) >= 4
    assert [bar.desc for bar in ours] == [
        f"segment {k + 1} of {len(ours)}" for k in range(len(ours))
    ]
    assert all((bar.unit, bar.n, bar.total) == ("steps", 16, 16) for bar in ours)
    assert len({bar.desc for bar in bars}) == len(bars)


SCRIPT = """
import sys
import numpy as np
from PIL import Image
first, last, frames, output, prompt = sys.argv[1:]
import os
os.mkdir(output)
a, b = (np.asarray(Image.open(path)).astype(float) for path in (first, last))
for k in range(int(frames)):
    image = a + k / (int(frames) - 1) * (b - a)
    Image.fromarray(np.rint(image).astype(np.uint8)).save(f"{output}/{k:04d}.png")
open(sys.argv[0] + ".log", "a").write(prompt + chr(10))
"""


def test_a_program_of_ones_own(clip: Path, tmp_path: Path) -> None:
    script = tmp_path / "make.py"
    script.write_text(SCRIPT)
    template = f"{sys.executable} {script} {{first}} {{last}} {{frames}} {{output}} {{prompt}}"
    given = ["retime", str(clip), "--method", "regenerate", "--command", template]
    given += ["--set", "suffix=", "--set", "model.longest=17", "--embedder", "pixels"]
    given += ["--segments", "3", "--prompt", "a, b = c", "--out", str(tmp_path / "even.mp4")]
    assert main(given) == 0
    assert uneven(load(tmp_path / "even.mp4").frames) < uneven(load(clip).frames) / 2
    assert set((tmp_path / "make.py.log").read_text().splitlines()) == {"a, b = c"}


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--model", "folder"], 2, "model=folder generates nothing; choose model=tiny"),
        (["--model", "wan"], 2, "did you mean wan22"),
        (["--model", "wan22"], 3, "make weights MODEL=wan22"),
        (["--model", "wan22", "--set", "variant=flf2v"], 3, "make weights MODEL=wan22/flf2v"),
        (["--model", "ltx2", "--like", "missing.mp4"], 3, "make weights MODEL=ltx2"),
        (["--model", "ltx2", "--set", "dtype=int4"], 2, "unknown dtype 'int4'"),
        (["--model", "ltx2", "--set", "size=9"], 2, "model ltx2: |model=ltx2: "),
        (["--model", "ltx2", "--set", "size=480,x"], 2, "model.size='480,x' must be"),
        ([], 2, "needs a generator (--model)"),
        (["--set", "longest=9"], 2, "--set is for a model"),
        (["--model", "tiny", "--set", "longest"], 2, "write NAME=VALUE"),
        (["--model", "tiny", "--set", "longst=9"], 2, "did you mean longest"),
        (["--model", "tiny", "--set", "longest=3"], 2, "there is no number 4n + 1"),
        (["--model", "tiny", "--command", "x"], 2, "--command is for --model command"),
        (["--model", "command"], 2, "--model command needs --command TEMPLATE"),
        (["--command", "x {first} {output}"], 2, "lacks {last}"),
        (["--command", "nowhere {first} {last} {output}"], 3, "there is no program 'nowhere'"),
        (["--model", "tiny", "--cuts", "drop"], 2, "unknown way with cuts"),
        (["--model", "tiny", "--steer", "blend"], 2, "resamples a finished clip"),
        (["--model", "tiny", "--seed", "-1"], 2, "seed=-1 must be"),
        (["--model", "tiny", "--method", "flow"], 2, "--model is for --method regenerate"),
        (["--prompt", "", "--method", "flow"], 2, "--prompt is for --method regenerate"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_any_work(
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    said: str,
) -> None:
    def work(*_: Any, **__: Any) -> None:
        pytest.fail("work began")

    monkeypatch.setattr("spf.retiming.measure_clip", work)
    monkeypatch.setattr("spf.measurement.measure_clip", work)
    monkeypatch.setattr("spf.generators.weights.cached_folder", lambda _: None)
    given = ["retime", str(clip), "--method", "regenerate", "--embedder", "pixels"]
    assert main([*given, "--out", str(tmp_path / "made"), *more]) == code
    line = harness.check_one_line(capsys.readouterr().err)
    assert any(words in line for words in said.split("|"))
    assert os.listdir(tmp_path) == ["clip.mp4"]
