"""VBench on real encoded clips, as its own command scores them, in a process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import clips
import harness
import numpy as np
import pytest

from spf.cache import Cache, user_cache
from spf.errors import ClipError, ConfigError, SpfError
from spf.quality import VBENCH_DIMENSIONS, NoQuality, Score, missing_weights
from spf.quality import vbench as vbench_module
from spf.quality.child import MINIMAL_FRAMES, Refused, check_clip, look
from spf.quality.process import VBenchProcess
from spf.quality.vbench import VBench
from spf.video import load, write_mp4

FLICKERING = "temporal_flickering"
COMMAND = "import vbench.launch.evaluate as e; e.dist_init = lambda: None; e.main()"
"""What `vbench evaluate` runs, but for its start of NCCL, without which it needs no GPU."""


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder without weights, whatever this machine has."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VBENCH_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def quality(weights: Path) -> Iterator[VBench]:
    """All dimensions, of which one can run; one child process for all tests."""
    made = VBench(device="cpu")
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Odd and tiny sizes, smooth and noisy, and names in which VBench reads meanings."""
    root = tmp_path_factory.mktemp("clips")
    clips.encode(root / "noise-3.mp4", clips.noise(12, 64, 96))
    clips.encode(root / "grey videos.mp4", clips.grey(9, 32, 32))
    clips.encode(root / "odd's.mp4", clips.noise(5, 33, 47), pix_fmt="yuv444p")
    clips.encode(root / "two.mp4", clips.noise(2, 128, 128))
    return root


def flickering(quality: VBench, clip: Path, cache: Cache | None = None) -> Score:
    return quality.measure(clip, cache)[FLICKERING]


# Scores


def test_flickering_is_what_the_packages_command_gives(
    quality: VBench, folder: Path, tmp_path: Path
) -> None:
    words = ["--videos_path", str(folder), "--dimension", FLICKERING, "--mode", "custom_input"]
    words += ["--output_path", str(tmp_path)]
    done = harness.command(sys.executable, "-c", COMMAND, *words, timeout=400)
    (results,) = tmp_path.glob("*_eval_results.json")
    mean, found = json.loads(results.read_text())[FLICKERING]
    assert len(found) == 4, done.stderr
    ours = {path.name: flickering(quality, path).value for path in folder.iterdir()}
    assert ours == {Path(row["video_path"]).name: row["video_results"] for row in found}
    assert mean == pytest.approx(np.mean(list(ours.values())), abs=1e-12)


def test_flickering_is_the_mean_change_of_decoded_frames(quality: VBench, folder: Path) -> None:
    """Against our own decoder: 1 - mean |x' - x| / 255; readers may differ by a grey level."""
    frames = np.stack(load(folder / "noise-3.mp4").frames).astype(np.float64)
    expected = 1 - np.abs(np.diff(frames, axis=0)).mean() / 255
    value = flickering(quality, folder / "noise-3.mp4").value
    assert value == pytest.approx(expected, abs=2 / 255)
    assert value < 0.9


def test_still_frames_do_not_flicker(quality: VBench, tmp_path: Path) -> None:
    write_mp4(tmp_path / "still.mp4", [harness.picture(0)] * 6, 12)
    assert flickering(quality, tmp_path / "still.mp4").value == pytest.approx(1, abs=0.01)


def test_what_cannot_run_says_how_to_get_it(quality: VBench, folder: Path) -> None:
    scores = quality.measure(folder / "two.mp4")
    assert list(scores) == list(VBENCH_DIMENSIONS)
    for dimension, score in scores.items():
        if dimension == FLICKERING:
            assert score.reason == ""
            continue
        assert score.value is None
        assert score.reason.startswith("not run: weights ")
        assert score.reason.endswith("get them by make weights QUALITY=vbench")
        assert all(name in score.reason for name in missing_weights(dimension))


def test_other_weights_than_the_published_ones_are_not_run(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    (file,) = VBENCH_DIMENSIONS["imaging_quality"]
    file.path.parent.mkdir()
    file.path.write_bytes(b"others")
    quality = VBench(["imaging_quality"], device="cpu")
    (score,) = quality.measure(folder / "two.mp4").values()
    assert score.value is None
    assert "not the published ones" in score.reason
    assert "make weights QUALITY=vbench" in score.reason


@pytest.mark.parametrize(
    ("count", "side", "fps", "dimension", "reason"),
    [
        (1, 128, 8, "subject_consistency", "needs 2 frames, this clip has 1"),
        (1, 128, 8, "background_consistency", "needs 2 frames"),
        (1, 128, 8, FLICKERING, "needs 2 frames"),
        (2, 128, 8, "motion_smoothness", "needs 3 frames"),
        (2, 128, 8, "dynamic_degree", "needs 3 frames at 8 frames a second, this clip has 2"),
        (6, 128, 24, "dynamic_degree", "this clip has 2"),
        (4, 112, 8, "motion_smoothness", "needs 113 x 113 pixels, this clip has 112 x 112"),
        (4, 120, 8, "dynamic_degree", "needs 121 x 121 pixels, this clip has 120 x 120"),
        (4, 32, 8, "dynamic_degree", "this clip has 32 x 32"),
    ],
)
def test_what_a_dimension_does_not_take(
    count: int, side: int, fps: int, dimension: str, reason: str, tmp_path: Path
) -> None:
    clip = clips.encode(tmp_path / "a.mp4", clips.noise(count, side, side), rate=fps)
    with pytest.raises(Refused, match=reason):
        check_clip(dimension, clip)


def test_what_the_dimensions_take(tmp_path: Path) -> None:
    """The smallest of each: no more is refused than must be."""
    assert set(MINIMAL_FRAMES) == set(VBENCH_DIMENSIONS)
    for dimension, count in MINIMAL_FRAMES.items():
        clip = clips.encode(tmp_path / f"{dimension}.mp4", clips.noise(count, 128, 128), rate=8)
        check_clip(dimension, clip)
        assert look(str(clip))[:3] == (count, 128, 128)


def test_one_frame_is_a_reason_in_its_row(quality: VBench, tmp_path: Path) -> None:
    clip = clips.encode(tmp_path / "one.mp4", clips.noise(1))
    assert flickering(quality, clip) == Score(None, "it needs 2 frames, this clip has 1")


@pytest.mark.parametrize("name", ["a.webm", "a.gif", "noname", "folder"])
def test_other_files_than_mp4_say_so(name: str, quality: VBench, tmp_path: Path) -> None:
    path = tmp_path / name
    path.mkdir() if name == "folder" else path.write_bytes(b"x")
    for score in quality.measure(path).values():
        assert score.value is None
        assert "VBench reads MP4 files" in score.reason


def test_no_video_at_all_is_refused(quality: VBench, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert flickering(quality, tmp_path / "a.mp4").reason == "VBench reads no frame of it"


def test_a_missing_clip_is_an_error(quality: VBench, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="cannot be read"):
        quality.measure(tmp_path / "none.mp4")


def test_nothing_of_the_package_gets_in_here(
    quality: VBench, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    assert flickering(quality, folder / "two.mp4").value is not None
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == before
    assert "vbench" not in sys.modules


# The cache


def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the clips that are computed from now on, all with the score 0.5."""
    names: list[str] = []

    def ask(self: object, dimension: str, clip: Path, seconds: float) -> dict[str, float]:
        names.append(clip.name)
        return {"value": 0.5}

    monkeypatch.setattr(VBenchProcess, "ask", ask)
    return names


def test_a_score_is_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, cache = asked(monkeypatch), user_cache()
    for _ in range(2):
        fresh = VBench([FLICKERING], device="cpu")
        assert flickering(fresh, folder / "two.mp4", cache) == Score(0.5)
    assert names == ["two.mp4"]
    flickering(fresh, folder / "two.mp4")  # without a cache
    assert names == ["two.mp4"] * 2


def test_bytes_and_packages_are_part_of_the_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, cache = asked(monkeypatch), user_cache()
    quality = VBench([FLICKERING], device="cpu")
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((folder / "two.mp4").read_bytes())
    flickering(quality, folder / "two.mp4", cache)
    flickering(quality, copy, cache)
    assert names == ["two.mp4"]  # the same bytes
    copy.write_bytes(copy.read_bytes() + b"\0")
    flickering(quality, copy, cache)
    assert names == ["two.mp4", "copy.mp4"]
    before = quality.identity()
    monkeypatch.setattr(vbench_module, "installed", lambda *_: {"vbench": "0.1.6"})
    flickering(quality, copy, cache)
    assert names == ["two.mp4", "copy.mp4", "copy.mp4"]
    assert quality.identity() != before


def test_refusals_are_kept_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quality, cache = VBench([FLICKERING], device="cpu"), user_cache()
    monkeypatch.setattr(VBenchProcess, "ask", lambda *_: {"refused": "too small"})
    assert flickering(quality, folder / "two.mp4", cache) == Score(None, "too small")
    assert asked(monkeypatch) == []
    assert flickering(quality, folder / "two.mp4", cache) == Score(None, "too small")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"about": [1, ""], "files": {}}'])
def test_a_damaged_entry_is_computed_again(
    damage: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, cache = asked(monkeypatch), user_cache()
    quality = VBench([FLICKERING], device="cpu")
    flickering(quality, folder / "two.mp4", cache)
    (entry,) = (cache.folder.parent / "quality").glob("*/manifest.json")
    whole = entry.read_bytes()
    for content in (damage, whole.replace(b"0.5", b"0.7")):
        entry.write_bytes(content)
        assert flickering(quality, folder / "two.mp4", cache) == Score(0.5)
        assert entry.read_bytes() == whole
    assert len(names) == 3


def test_a_cache_that_cannot_be_written_is_no_matter(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked(monkeypatch)
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file", 10**9)
    quality = VBench([FLICKERING], device="cpu")
    assert flickering(quality, folder / "two.mp4", cache) == Score(0.5)


# The process


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell script that is started in place of Python; write it."""
    script = tmp_path / "python"
    script.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return script


def ask(script: Path, body: str, seconds: float = 20) -> VBenchProcess:
    """Ask a stand-in; the clip's name is in the error."""
    script.write_text(f"#!/bin/sh\n{body}\n")
    process = VBenchProcess({}, "cpu")
    with pytest.raises(SpfError, match=r"^clip\.mp4: VBench's dynamic_degree broke down") as error:
        process.ask("dynamic_degree", Path("clip.mp4"), seconds)
    process.reason = clips.one_line(error)  # type: ignore[attr-defined]
    return process


def test_a_process_that_dies_says_its_last_line(stand_in: Path) -> None:
    died = ask(
        stand_in, "read line; echo progress >&2; printf 'Killed:\\n no memory \\n\\n' >&2; exit 3"
    )
    assert "exit code 3: no memory" in died.reason  # type: ignore[attr-defined]


def test_a_signal_is_named(stand_in: Path) -> None:
    assert "signal 9" in ask(stand_in, "kill -9 $$").reason  # type: ignore[attr-defined]


def test_nonsense_is_no_reply(stand_in: Path) -> None:
    assert "died" in ask(stand_in, "read line; echo loading; sleep 60").reason  # type: ignore[attr-defined]


def test_breaking_down_ends_the_process(stand_in: Path) -> None:
    process = ask(stand_in, """read line; echo '{"broke": "MemoryError"}'; sleep 60""")
    assert "MemoryError" in process.reason  # type: ignore[attr-defined]
    assert process._child is None


def test_the_time_limit_kills_the_whole_group(stand_in: Path, tmp_path: Path) -> None:
    process = ask(stand_in, f"sleep 300 & echo $! > {tmp_path}/pid; wait", seconds=1)
    assert "longer than 1 s; raise quality.time_limit" in process.reason  # type: ignore[attr-defined]
    gone_soon(int((tmp_path / "pid").read_text()))
    assert not process._folder.exists()


def test_ctrl_c_leaves_nothing_running(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    stand_in.write_text("#!/bin/sh\nsleep 300\n")
    monkeypatch.setattr("spf.quality.process._exchange", interrupt)
    process = VBenchProcess({}, "cpu")
    with pytest.raises(KeyboardInterrupt):
        process.ask(FLICKERING, Path("clip.mp4"), 5)
    assert process._child is None
    assert not process._folder.exists()


def test_one_process_serves_many_clips(stand_in: Path, tmp_path: Path) -> None:
    stand_in.write_text(
        f"#!/bin/sh\necho started >> {tmp_path}/starts\n"
        """while read line; do echo '{"value": 1.0}'; done\n"""
    )
    process = VBenchProcess({}, "cpu")
    for number in range(5):
        assert process.ask(FLICKERING, Path(f"{number}.mp4"), 20) == {"value": 1.0}
    process.close()
    assert (tmp_path / "starts").read_text().split() == ["started"]


def test_the_child_ends_with_its_input(tmp_path: Path) -> None:
    """However the parent ended; and it cleans up."""
    made = tmp_path / "made"
    made.mkdir()
    words = [sys.executable, "-m", "spf.quality.child", str(made), "cpu"]
    done = subprocess.run(words, input=b"", env=harness.environment(), timeout=60, check=False)
    assert done.returncode == 0
    assert not made.exists()


def gone_soon(pid: int) -> None:
    """Wait for a process to be gone, or a zombie that nobody has waited for."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it still runs")


# Settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dimensions": ["temporal_flikering"]}, "did you mean temporal_flickering"),
        ({"dimensions": []}, "at least one"),
        ({"dimensions": FLICKERING}, "must be a list"),
        ({"time_limit": 0}, "seconds above 0"),
        ({"time_limit": -1}, "seconds above 0"),
        ({"time_limit": math.nan}, "seconds above 0"),
        ({"time_limit": True}, "seconds above 0"),
    ],
)
def test_bad_settings(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        VBench(**settings)  # type: ignore[arg-type]


def test_hyphens_serve_and_doubles_do_not_count() -> None:
    assert VBench(["temporal-flickering", FLICKERING]).dimensions == (FLICKERING,)


def test_without_the_package_nothing_is_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are none of those that it gave while it was there, and a run goes on without it."""
    here = VBench(device="cpu").identity()
    monkeypatch.setitem(sys.modules, "vbench", None)
    absent = VBench(device="cpu")
    for score in absent.measure(folder / "two.mp4", user_cache()).values():
        assert score == Score(None, "not run: the package vbench is absent, get it by make setup")
    assert absent.identity() != here


def test_none_measures_nothing(tmp_path: Path) -> None:
    assert NoQuality().measure(tmp_path / "none.mp4") == {}
    assert NoQuality().identity() == {}
