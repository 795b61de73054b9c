"""Rows of `spf corpus`, as workers make them: those of `spf.measure`, or a reason."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import clips
import harness
import numpy as np
import pyarrow as pa
import pytest

import spf
from spf.cache import user_cache
from spf.corpus.inputs import open_listing
from spf.corpus.rows import DONE, FAILED, SCORES, Measuring
from spf.corpus.worker import ATTEMPTS, NAMES, ROWS, TASK, Ledger, Worker, _Turns, from_bytes
from spf.embedders import load_embedder
from spf.errors import UnavailableError
from spf.measurement import DEFAULT_SETTINGS, measure_clip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad clips: 5 measured, 5 failed."""
    root = tmp_path_factory.mktemp("corpus")
    good = harness.save(root / "a" / "steady.mp4", harness.steady(14))
    harness.save(root / "a" / "jumping.mp4", harness.jumping(12, seed=1))
    harness.save(root / "a" / "still.mp4", harness.still(12))
    (root / "b").mkdir()
    (root / "c").mkdir()
    clips.animate(root / "b" / "moving.gif", harness.steady(9, seed=2), [80] * 9)
    for number, image in enumerate(harness.steady(6, seed=3)):
        path = root / "b" / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        from PIL import Image

        Image.fromarray(image).save(path)

    (root / "c" / "empty.mp4").touch()
    (root / "c" / "junk.mp4").write_bytes(b"junk " * 99)
    clips.cut(good, root / "c" / "short.mp4", 0.3)
    (root / "c" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    harness.save(root / "c" / "one.mp4", harness.steady(2)[:1])
    return root


def work(worker: Worker, first: int, *names: str) -> list[dict[str, object]]:
    given = pa.table({TASK: [first], NAMES: [[os.fsencode(name) for name in names]]})
    done = worker(given)
    return from_bytes(done.column(ROWS)[0].as_py()).to_pylist()


def worker_of(root: Path, measuring: Measuring, ledger: Ledger | None = None) -> Worker:
    return Worker(measuring, root, measuring.identity(), ledger or Ledger())


def check_rows(root: Path, rows: list[dict[str, object]], measuring: Measuring) -> None:
    """Rows hold what `spf.measure` and `spf.score` give of each clip, or a reason in one line."""
    for row in rows:
        path = root / str(row["path"])
        curve: spf.Curve | None = None
        reason = ""
        try:
            curve = spf.measure(path, measuring.embedder, measuring.sampling, cache=False)
        except spf.ClipError as error:
            reason = f"{error.reason}; {error.remedy}"
        if curve is None:
            assert (row["status"], row["reason"]) == (FAILED, reason)
            assert [row[name] for name in (*SCORES, "frames")] == [None] * (len(SCORES) + 1)
            continue
        assert row["status"] == DONE
        assert row["reason"] == (spf.no_change_reason(curve) or "")
        assert row["frames"] == len(curve)
        for name, value in spf.score(curve).items():
            assert row[name] == value or (row[name] is None and np.isnan(value)), name
        if measuring.curves:
            assert np.array_equal(row["progress"], curve.progress)
            assert np.array_equal(row["angle"], curve.angle)
            assert np.array_equal(row["times"], curve.times)


def test_rows_are_those_of_measure(corpus: Path) -> None:
    names = list(open_listing(corpus))
    measuring = Measuring("pixels", curves=True)
    rows = work(worker_of(corpus, measuring), 7, *names)
    assert [row["index"] for row in rows] == list(range(7, 7 + len(names)))
    assert [row["path"] for row in rows] == names
    check_rows(corpus, rows, measuring)
    assert [row["status"] for row in rows].count(DONE) == 5
    assert {row["path"]: row["reason"] for row in rows}["a/still.mp4"] == "no semantic change"
    for row in rows:
        assert "\n" not in str(row["reason"])
        assert "Traceback" not in str(row["reason"])
        assert str(corpus) not in str(row["reason"])


def test_rows_follow_the_sampling_and_the_bytes(corpus: Path, tmp_path: Path) -> None:
    from hashlib import sha256

    measuring = Measuring("pixels", sampling=spf.Sampling(stride=2))
    (row,) = work(worker_of(corpus, measuring), 0, "a/steady.mp4")
    assert row["frames"] == 7
    assert row["sha256"] == sha256((corpus / "a/steady.mp4").read_bytes()).hexdigest()
    check_rows(corpus, [row], measuring)
    other = Measuring("pixels", sampling=spf.Sampling(stream=3))
    (row,) = work(worker_of(corpus, other), 0, "a/steady.mp4")
    assert row["status"] == FAILED
    assert "stream" in str(row["reason"])


def test_any_error_of_a_library_is_a_row(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: object, **__: object) -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr("spf.corpus.rows.measure_clip", burst)
    (row,) = work(worker_of(corpus, Measuring("pixels")), 0, "a/steady.mp4")
    assert (row["status"], row["reason"]) == (FAILED, "ZeroDivisionError: first second")


def test_a_clip_that_changes_meanwhile_fails(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(corpus / "a" / "steady.mp4", tmp_path / "x.mp4")

    def change(path: Path, *given: object, **more: object) -> object:
        found = measure_clip(path, *given, **more)  # type: ignore[arg-type]
        with open(path, "ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr("spf.corpus.rows.measure_clip", change)
    (row,) = work(worker_of(tmp_path, Measuring("pixels")), 0, "x.mp4")
    assert row["status"] == FAILED
    assert "changed while" in str(row["reason"])


def test_without_pictures_the_curve_is_the_same_and_nothing_is_kept(corpus: Path) -> None:
    clip, embedder, cache = corpus / "a" / "steady.mp4", load_embedder("pixels"), user_cache()
    bare = measure_clip(clip, embedder, cache=cache, pictures=False)
    assert bare.thumbnails.images == []
    assert cache.entries() == []
    whole = measure_clip(clip, embedder, cache=cache)
    assert whole.thumbnails.images
    assert not whole.cached
    assert np.array_equal(bare.curve.angle, whole.curve.angle)


def test_a_worker_with_another_embedder_stops(corpus: Path) -> None:
    measuring = Measuring("pixels")
    expected = measuring.identity() | {"code": "of another version"}
    with pytest.raises(UnavailableError, match="code differ"):
        work(Worker(measuring, corpus, expected, Ledger()), 0, "a/steady.mp4")


def test_a_clip_on_which_workers_die_becomes_a_row(corpus: Path) -> None:
    ledger = Ledger()
    for _ in range(ATTEMPTS):
        assert ledger.deaths(3, 1)[0] < ATTEMPTS
        ledger.begin(3)  # and its worker dies
    rows = work(worker_of(corpus, Measuring("pixels"), ledger), 2, "a/steady.mp4", "a/still.mp4")
    assert [row["status"] for row in rows] == [DONE, FAILED]
    assert "its worker died on it 3 times" in str(rows[1]["reason"])
    assert ledger.deaths(2, 2) == [0, 0]


def test_only_a_suspect_is_given_the_worker_for_itself(corpus: Path) -> None:
    ledger = Ledger()
    worker = worker_of(corpus, Measuring("pixels"), ledger)
    taken: list[str] = []

    class Turns:
        def __getattr__(self, name: str) -> object:
            taken.append(name)
            return getattr(_Turns(1), name)

    worker._turns = Turns()  # type: ignore[assignment]
    ledger.begin(1)  # and its worker dies
    work(worker, 0, "a/still.mp4", "a/steady.mp4", "a/jumping.mp4")
    assert taken == ["together", "alone", "together"]


@pytest.mark.parametrize(
    "other",
    [
        {"embedder": "histogram"},
        {"settings": replace(DEFAULT_SETTINGS, window=15)},
        {"sampling": spf.Sampling(stride=2)},
        {"batch_size": 3},
        {"curves": True},
    ],
)
def test_every_setting_is_part_of_the_identity(other: dict[str, object]) -> None:
    usual = Measuring("pixels")
    assert replace(usual).identity() == usual.identity()
    assert replace(usual, **other).identity() != usual.identity()  # type: ignore[arg-type]


def test_a_gpu_that_failed_ends_the_process(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise spf.ClipError(path, "the GPU failed (CUDA error: misaligned address)", "again")

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("spf.corpus.rows.measure_clip", fail)
    monkeypatch.setattr("spf.corpus.worker.os._exit", leave)
    ledger = Ledger()
    with pytest.raises(SystemExit):
        work(worker_of(corpus, Measuring("pixels"), ledger), 0, "a/steady.mp4")
    assert ledger.deaths(0, 1) == [1]


def test_a_suspect_is_measured_alone() -> None:
    turns = _Turns(3)
    inside, seen = [0], []
    lock = threading.Lock()

    def take(alone: bool) -> None:
        for _ in range(20):
            with turns.alone() if alone else turns.together():
                with lock:
                    inside[0] += 1
                    seen.append((alone, inside[0]))
                threading.Event().wait(0.001)
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=take, args=(place == 0,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(seen) == 80
    assert all(count == 1 for alone, count in seen if alone)
    assert max(count for alone, count in seen if not alone) > 1
