"""Bad clips, folders and embeddings: one failed row with its reason; the others are measured."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import clips
import harness
import numpy as np
import pandas as pd
import pytest

from benchmarks.harness import measuring, session
from spf.embedders import load_embedder
from spf.errors import ConfigError

Make = Callable[[Path], object]


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.without_plots(monkeypatch)


def long_clip(path: Path, **more: object) -> Path:
    """A video with enough bytes that cutting it hits the pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"crf": "20", "bf": "0", "g": "4"}
    return clips.encode(path, clips.noise(24), rate=12, options=options, **more)


def cut_with_index(path: Path) -> object:
    """The index is at the front and survives, half of the pictures do not."""
    whole = long_clip(path.with_name("whole.mov"), container_options={"movflags": "+faststart"})
    clips.cut(whole, path, 0.5)
    whole.unlink()
    return None


def cut_without_index(path: Path) -> object:
    whole = long_clip(path.with_name("whole.mov"))
    clips.cut(whole, path, 0.5)
    whole.unlink()
    return None


def random_bytes(path: Path) -> object:
    return path.write_bytes(np.random.default_rng(0).bytes(20_000))


def folder_of_broken_images(path: Path) -> object:
    path = path.with_suffix("")
    path.mkdir()
    return [(path / f"{k}.png").write_bytes(b"\x89PNG\r\n\x1a\n junk") for k in range(3)]


# What is made in place of bad.mp4, and what its reason must say.
BAD: dict[str, tuple[Make, str]] = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "cut off, no index": (cut_without_index, "index"),
    "random bytes": (random_bytes, "not a video"),
    "text": (lambda path: path.write_text("not a video, but prose\n" * 50), "not a video"),
    "one frame": (lambda path: harness.save(path, harness.steady(2)[:1]), "1 frame"),
    "sound alone": (clips.encode_sound, "no video"),
    "dangling link": (lambda path: path.symlink_to("nowhere.mp4"), "no such file"),
    "link to itself": (lambda path: path.symlink_to(path.name), "cannot be opened"),
    "broken images": (folder_of_broken_images, "decoded"),
    "pipe": (lambda path: os.mkfifo(path), "not a file"),
}


@pytest.fixture
def patience() -> Iterator[None]:
    """Fail instead of waiting for ever, as opening a pipe does."""

    def ring(*_: object) -> None:
        pytest.fail("still waiting after 10 s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_clip_fails_its_own_row(kind: str, tmp_path: Path, patience: None) -> None:
    make, word = BAD[kind]
    folder = harness.layout(
        tmp_path / "clips",
        {"good": {"bad": harness.steady()}, "ill": {"fine": harness.steady()}},
    )
    make(folder / "ill" / "bad.mp4")
    run = harness.run(folder, tmp_path / "out")
    assert run.code == 1
    status = {(r["model"], r["clip"]): r["status"] for r in run.results.records}
    assert status == {("good", "bad"): "done", ("ill", "bad"): "failed", ("ill", "fine"): "done"}
    (bad,) = (record for record in run.results.records if record["status"] == "failed")
    assert word in bad["reason"]
    assert "ill" in bad["reason"]  # names the file,
    assert "bad" in bad["reason"]
    assert ";" in bad["reason"]  # and the remedy,
    assert "unexpected" not in bad["reason"]
    assert "Errno" not in bad["reason"]
    assert "\n" not in bad["reason"]
    assert bad.get("linearity_mae") is None
    table = harness.read_records(run.folder.root).set_index(["model", "clip"])
    assert table.loc[("ill", "bad"), "reason"] == bad["reason"]
    assert pd.isna(table.loc[("ill", "bad"), "linearity_mae"])
    assert word in (run.folder.root / "index.html").read_text()


def test_a_cut_clip_with_its_index_is_measured_with_a_note(tmp_path: Path) -> None:
    folder = harness.two_generators(tmp_path / "clips", 1)
    cut_with_index(folder / "even" / "cut.mp4")
    run = harness.run(folder, tmp_path / "out")
    (record,) = (r for r in run.results.records if r["clip"] == "cut")
    assert record["status"] == "done"
    assert 2 < record["frames"] < 24
    assert "lost" in record["notes"]
    assert str(24 - record["frames"]) in record["notes"]
    assert record["notes"] in (run.folder.root / "clips.csv").read_text()


def test_two_frames_are_measured_and_never_ranked(tmp_path: Path) -> None:
    two = {"p": harness.steady(2)}
    folder = harness.layout(tmp_path / "clips", {"short": two, "even": {"p": harness.steady()}})
    run = harness.run(folder, tmp_path / "out")
    assert run.code == 0
    board = pd.read_csv(run.folder.root / "leaderboard.csv").set_index("generator")
    assert board.loc["short", "too_short"] == 1
    assert board.loc["short", "usable"] == 0
    assert pd.isna(board.loc["short", "order"])


def test_a_still_clip_is_no_failure(tmp_path: Path) -> None:
    folder = harness.layout(tmp_path / "clips", {"a": {"p": harness.still()}})
    run = harness.run(folder, tmp_path / "out")
    assert run.code == 0
    (record,) = run.results.records
    assert (record["status"], record["reason"]) == ("done", "no semantic change")
    assert "no semantic change" in (run.folder.root / "index.html").read_text()


# Folders


def test_a_generator_without_clips_is_a_failed_row(tmp_path: Path) -> None:
    folder = harness.two_generators(tmp_path / "clips", 1)
    (folder / "nothing").mkdir()
    (folder / "frames" / "pair0").mkdir(parents=True)  # would be a folder of images
    run = harness.run(folder, tmp_path / "out")
    assert run.code == 1
    failed = {r["model"]: r["reason"] for r in run.results.records if r["status"] == "failed"}
    assert set(failed) == {"nothing", "frames"}
    assert all("holds no clips" in reason for reason in failed.values())
    assert sum(r["status"] == "done" for r in run.results.records) == 2


def test_two_files_of_one_pair_are_a_failed_row(tmp_path: Path) -> None:
    folder = harness.two_generators(tmp_path / "clips", 1)
    harness.save(folder / "even" / "pair0.mkv", harness.steady())
    run = harness.run(folder, tmp_path / "out")
    (record,) = (r for r in run.results.records if r["model"] == "even")
    assert record["status"] == "failed"
    assert "pair0.mkv, pair0.mp4" in record["reason"]


def test_other_files_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    folder = harness.two_generators(tmp_path / "clips", 1)
    for name in ("notes.txt", "even/prompts.json", "even/.pair0.mp4.part", ".cache/pair0.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "even" / "._pair0.mp4").write_bytes(b"\0\5\26\7")  # as macOS leaves them
    run = harness.run(folder, tmp_path / "out")
    assert run.code == 0
    assert len(run.results.records) == 2


def test_a_folder_of_images_is_a_clip(tmp_path: Path) -> None:
    from PIL import Image

    for model, frames in (("even", harness.steady()), ("jumpy", harness.jumping())):
        (tmp_path / "clips" / model / "pair.v2").mkdir(parents=True)
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(tmp_path / "clips" / model / "pair.v2" / f"{number}.png")
    run = harness.run(tmp_path / "clips", tmp_path / "out")
    assert run.code == 0
    assert [record["clip"] for record in run.results.records] == ["pair.v2"] * 2
    assert [record["frames"] for record in run.results.records] == [12, 12]
    harness.Page((run.folder.root / "index.html").read_text())


@pytest.mark.parametrize("made", ["nowhere", "file", "empty", "clips directly", "empty folders"])
def test_folders_that_hold_no_clips(made: str, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    if made == "file":
        folder.write_text("x")
    elif made != "nowhere":
        folder.mkdir()
    if made == "clips directly":
        harness.save(folder / "pair.mp4", harness.steady())
    if made == "empty folders":
        (folder / "generator").mkdir()
    with pytest.raises(ConfigError) as error:
        harness.run(folder, tmp_path / "out")
    assert str(folder) in harness.check_one_line(str(error.value))
    assert not (tmp_path / "out").exists()


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal is simulated."""
    folder = harness.two_generators(tmp_path / "clips", 1)
    closed = folder / "jumpy"
    original = Path.iterdir

    def iterdir(path: Path) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    run = harness.run(folder, tmp_path / "out")
    assert run.code == 1
    (record,) = (r for r in run.results.records if r["status"] == "failed")
    assert record["model"] == "jumpy"
    assert "permissions" in record["reason"]
    assert sum(r["status"] == "done" for r in run.results.records) == 1

    closed = folder
    with pytest.raises(ConfigError, match="permissions"):
        harness.run(folder, tmp_path / "out")


def test_names_cannot_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = harness.two_generators(tmp_path / "clips", 1)
    (folder / "even" / "\x1b[2J\x1b]0;title\x07.mp4").write_bytes(b"")
    words = harness.leaderboard_words(folder, tmp_path / "out")
    assert session.run(harness.compose(*words)).code == 1
    output, errors = capsys.readouterr()
    assert "the file is empty" in errors
    assert not {letter for letter in output + errors if not letter.isprintable()} - set("\n\r")


# Embeddings


def test_broken_embeddings_fail_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    histogram = type(load_embedder("histogram"))
    original = histogram.encode

    def encode(self: object, batch: np.ndarray) -> np.ndarray:
        vectors = original(self, batch)
        if len(batch) == 7:
            vectors[3, 0] = np.nan
        return vectors

    monkeypatch.setattr(histogram, "encode", encode)
    folder = harness.layout(
        tmp_path / "clips", {"a": {"p": harness.steady(7)}, "b": {"p": harness.steady(12)}}
    )
    run = harness.run(folder, tmp_path / "out", "embedder=histogram")
    assert run.code == 1
    bad, good = run.results.records
    assert good["status"] == "done"
    assert "NaN" in bad["reason"]
    assert "frame 3" in bad["reason"]
    assert "p.mp4" in bad["reason"]


@pytest.mark.parametrize(
    "error",
    [RuntimeError("two\nlines"), KeyError("x"), MemoryError(), ValueError(), RecursionError()],
)
def test_a_bug_in_one_cell_stops_no_other(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = measuring.measure_clip

    def measure_clip(source: Path, *rest: object, **more: object) -> object:
        if "jumpy" in str(source):
            raise error
        return original(source, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(measuring, "measure_clip", measure_clip)
    run = harness.run(harness.two_generators(tmp_path / "clips", 1), tmp_path / "out")
    assert run.code == 1
    assert [record["status"] for record in run.results.records] == ["done", "failed"]
    reason = run.results.records[1]["reason"]
    assert reason
    assert "\n" not in reason
    assert "pair0" in reason  # names the clip
