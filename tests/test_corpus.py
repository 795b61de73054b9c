"""`spf corpus` without Ray: what is read, what is written, what is refused, how it goes on."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import clips
import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import spf
from spf.cache import user_cache
from spf.corpus import manifest, shards
from spf.corpus.inputs import as_text, names_digest, open_listing, survey
from spf.corpus.pipeline import CLIPS_PER_TASK, Crew, local_or_remote, tasks_of
from spf.corpus.rows import DONE, FAILED, SCORES, Measuring, as_table, schema
from spf.corpus.shards import Assembly, finished, shard_path, timings_path, write_shard
from spf.corpus.worker import ATTEMPTS, NAMES, ROWS, TASK, Ledger, Worker, _Turns, from_bytes
from spf.embedders import load_embedder
from spf.errors import ConfigError, SpfError, UnavailableError
from spf.measurement import DEFAULT_SETTINGS, measure_clip


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names_of(source: Path) -> list[str]:
    return list(open_listing(source))


# What is read


def test_a_folder_gives_its_clips_in_one_order(tmp_path: Path) -> None:
    wanted = ["b.mp4", "B/z.MP4", "a/10.mkv", "a/9.mkv", "a/deep/er/c.gif", "shots"]
    others = ["notes.txt", ".hidden/x.mp4", "a/.y.mp4", "a/9.jpg", "shots/1.png", "shots/2.png"]
    touch(tmp_path, *[name for name in wanted if name != "shots"], *others)
    found = names_of(tmp_path)
    assert sorted(found) == sorted(wanted)
    assert found == ["B/z.MP4", "a/10.mkv", "a/9.mkv", "a/deep/er/c.gif", "b.mp4", "shots"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/c.mp4")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert names_of(tmp_path) == ["a/b/c.mp4"]


def test_names_that_are_no_utf8_are_found_again(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff.mp4"
    with open(raw, "wb") as file:
        file.write(b"x")
    (name,) = names_of(tmp_path)
    assert os.fsencode(name) == b"\xff.mp4"
    assert as_text(name) == "\\xff.mp4"
    assert names_digest([name]) == names_digest([as_text(name)])


def test_lists_give_the_same_as_they_say(tmp_path: Path) -> None:
    wanted = ["b.mp4", 'a, "quoted".mp4', "/elsewhere/c.mp4", "b.mp4", "ä.mp4"]
    text = tmp_path / "list.txt"
    text.write_text("\n".join(wanted[:2]) + "\r\n\n" + "\n".join(wanted[2:]))
    table = tmp_path / "list.csv"
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([["id", "path"], *enumerate(wanted)])
    pq.write_table(pa.table({"n": range(5), "path": wanted}), tmp_path / "list.parquet")
    for source in (text, table, tmp_path / "list.parquet"):
        assert names_of(source) == wanted
        assert open_listing(source).base == tmp_path


def test_a_parquet_list_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [f"{number}.mp4" for number in range(100)]
    pq.write_table(pa.table({"path": wanted}), tmp_path / "list.parquet", row_group_size=30)
    monkeypatch.setattr("spf.corpus.inputs.PARQUET_ROWS", 7)
    assert names_of(tmp_path / "list.parquet") == wanted


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"clip,n\nx.mp4,1\n", "no column path"),
        ("a.csv", b"n,path\n1,a.mp4\n2,\n", "row 3 has no path"),
        ("a.csv", b"", "no column path"),
        ("a.txt", b"a.mp4\nb\0c\n", "row 2 is no text"),
        ("a.txt", b"\n\n", "no clips found"),
        ("a.parquet", b"PAR1 but no more", "no valid Parquet"),
        ("a.mp4", b"x", "this is a clip"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said) as error:
        survey(open_listing(tmp_path / name), 10)
    clips.one_line(error)


def test_nothing_and_no_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        open_listing(tmp_path / "absent")
    with pytest.raises(ConfigError, match="no clips found"):
        survey(open_listing(touch(tmp_path, "a.txt")), 10)


def test_a_survey_counts_and_tells_changes() -> None:
    names = [f"{number}.mp4" for number in range(25)]
    found = survey(names, 10)
    assert (found.clips, len(found.shards)) == (25, 3)
    assert [found.clips_of(shard) for shard in range(3)] == [10, 10, 5]
    other = survey([*names[:12], "new.mp4", *names[13:]], 10)
    assert other.digest != found.digest
    assert [a == b for a, b in zip(found.shards, other.shards, strict=True)] == [True, False, True]


# Tasks


class Written(Ledger):
    """A ledger by which a shard more is written at every look."""

    def written(self) -> int:
        self._written += 1
        return self._written - 1


def test_tasks_cover_the_pending_shards_in_order(tmp_path: Path) -> None:
    listing = open_listing(touch(tmp_path, *[f"{number:03d}.mp4" for number in range(43)]))
    found = survey(listing, 20)
    tasks = list(tasks_of(listing, found, [0, 2], Ledger(), 2))
    indices = [first + place for first, names in tasks for place in range(len(names))]
    assert indices == [*range(20), 40, 41, 42]
    assert [name for _, names in tasks for name in names] == [
        b"%03d.mp4" % index for index in indices
    ]
    assert max(len(names) for _, names in tasks) == CLIPS_PER_TASK


def test_tasks_wait_until_shards_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = open_listing(touch(tmp_path, *[f"{number:03d}.mp4" for number in range(12)]))
    found = survey(listing, 2)
    ledger = Ledger()
    waits: list[int] = []

    def sleep(seconds: float) -> None:
        waits.append(len(given))
        if len(waits) % 3 == 0:
            ledger.wrote()

    monkeypatch.setattr("spf.corpus.pipeline.time.sleep", sleep)
    given: list[int] = []
    for first, _ in tasks_of(listing, found, range(6), ledger, 2):
        given.append(first)
        assert len(given) <= ledger.written() + 2
    assert given == [0, 2, 4, 6, 8, 10]
    assert waits == [count for count in (2, 3, 4, 5) for _ in range(3)]


def test_an_input_that_changes_meanwhile_ends_the_work(tmp_path: Path) -> None:
    listing = open_listing(touch(tmp_path, "a.mp4", "b.mp4", "c.mp4"))
    found = survey(listing, 2)
    touch(tmp_path, "aa.mp4")
    with pytest.raises(SpfError, match="changed while it was read"):
        list(tasks_of(listing, found, [0, 1], Ledger(), 2))


def test_open_shards_are_enough_for_all_workers() -> None:
    for size, workers, decoders in ((1, 1, 1), (10, 64, 8), (1000, 2, 1)):
        crew = Crew(workers, decoders=decoders)
        clips_open = crew.open_shards(size) * size
        assert clips_open >= workers * decoders * 2 * CLIPS_PER_TASK


# A worker


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
    names = names_of(corpus)
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


# Shards


def rows_of(first: int, count: int, curves: bool = False) -> pa.Table:
    """Rows of clips `first`.mp4 and so on."""
    draw = random.Random(first)
    rows = [
        {
            "index": index,
            "path": f"{index}.mp4",
            "status": FAILED if index % 5 == 0 else DONE,
            "reason": f"frame {index} is bad; mend it" if index % 5 == 0 else "",
            "total_change": draw.random(),
            "worker": f"w{draw.random()}",
            "embed_seconds": draw.random(),
        }
        | ({"progress": [draw.random() for _ in range(4)]} if curves else {})
        for index in range(first, first + count)
    ]
    return as_table(rows, curves)


NAMES_25 = [f"{number}.mp4" for number in range(25)]


def test_pieces_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    found = survey(NAMES_25, 10)
    pieces = [
        rows_of(first, min(4, found.size - first % 10, 25 - first), curves=True)
        for first in (0, 4, 8, 10, 14, 18, 20, 24)
    ]
    written = []
    for seed in range(3):
        order = [*pieces, *pieces[::2]]  # some come twice
        random.Random(seed).shuffle(order)
        assembly = Assembly(found)
        output = tmp_path / str(seed)
        done = []
        for piece in order:
            whole = assembly.add(piece)
            if whole is not None:
                done.append(whole[0])
                write_shard(output, *whole, "mark")
        assert sorted(done) == [0, 1, 2]
        written.append([shard_path(output, shard).read_bytes() for shard in range(3)])
    assert written[0] == written[1] == written[2]
    table = pq.read_table(shard_path(tmp_path / "0", 1))
    assert table["index"].to_pylist() == list(range(10, 20))
    assert not {"worker", "embed_seconds"} & set(table.column_names)
    timings = pq.read_table(timings_path(tmp_path / "0", 1))
    assert timings.column_names == ["index", "path", "embed_seconds", "fit_seconds", "worker"]


def shard(output: Path, rows: pa.Table | None = None, mark: str = "mark") -> Path:
    write_shard(output, 1, rows_of(10, 10) if rows is None else rows, mark)
    return shard_path(output, 1)


def test_a_finished_shard_is_known_by_all_that_it_holds(tmp_path: Path) -> None:
    found = survey(NAMES_25, 10)
    assert not finished(tmp_path, 1, found, "mark", curves=False)
    shard(tmp_path)
    assert finished(tmp_path, 1, found, "mark", curves=False)
    assert not finished(tmp_path, 1, found, "another", curves=False)
    renamed = survey([*NAMES_25[:12], "new.mp4", *NAMES_25[13:]], 10)
    assert not finished(tmp_path, 1, renamed, "mark", curves=False)
    for rows in (rows_of(10, 9), rows_of(9, 10), rows_of(10, 11)):
        shard(tmp_path, rows)
        assert not finished(tmp_path, 1, found, "mark", curves=False)


def test_damage_of_a_shard_is_noticed(tmp_path: Path) -> None:
    """Whatever byte is changed: the shard is void, or what is read from it is unchanged."""
    found = survey(NAMES_25, 10)
    path = shard(tmp_path, rows_of(10, 10, curves=True))
    data, whole = path.read_bytes(), pq.read_table(path)
    noticed = 0
    for place in range(0, len(data), 29):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        if not finished(tmp_path, 1, found, "mark", curves=True):
            noticed += 1
        else:
            assert pq.read_table(path).equals(whole), place
    assert noticed > len(data) / 29 / 2
    for share in (0.0, 0.3, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        assert not finished(tmp_path, 1, found, "mark", curves=True)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spf.corpus.shards.synchronise", full)
    with pytest.raises(SpfError, match="No space left on device") as error:
        shard(tmp_path)
    assert clips.one_line(error).count("cannot be written") == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_leftovers_are_swept(tmp_path: Path) -> None:
    touch(tmp_path, ".spf-1.tmp", "timings/.spf-2.tmp", "keep.parquet")
    shards.sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["keep.parquet"]


def test_the_summary_counts_reasons_without_their_numbers(tmp_path: Path) -> None:
    for number, (first, count) in enumerate([(0, 10), (10, 10), (20, 5)]):
        write_shard(tmp_path, number, rows_of(first, count), "mark")
    summary = shards.summarise(tmp_path, 3)
    assert summary == {(DONE, ""): 20, (FAILED, "frame # is bad; mend it"): 5}
    described = manifest.describe({}, survey(NAMES_25, 10))
    assert manifest.end(tmp_path, described, summary) == {"clips": 25, DONE: 20, FAILED: 5}
    assert (tmp_path / "summary.csv").read_text() == (
        "status,reason,clips\ndone,,20\nfailed,frame # is bad; mend it,5\n"
    )
    assert json.loads((tmp_path / "manifest.json").read_text())["counts"]["failed"] == 5


def test_timings_are_the_last_columns() -> None:
    assert schema(True).names[-3:] == ["embed_seconds", "fit_seconds", "worker"]
    assert set(schema(True).names) - set(schema(False).names) == {"times", "progress", "angle"}


# What is refused


def described(size: int = 10, names: list[str] = NAMES_25, **more: object) -> dict[str, object]:
    measuring = Measuring("pixels").identity() | more
    return manifest.describe(measuring, survey(names, size))


def test_the_same_corpus_is_taken_up(tmp_path: Path) -> None:
    manifest.begin(tmp_path, described())
    before = (tmp_path / "manifest.json").read_bytes()
    manifest.begin(tmp_path, described())
    assert (tmp_path / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"size": 11}, "clips_per_shard (10, now 11)"),
        ({"names": NAMES_25[1:]}, "input.clips (25, now 24)"),
        ({"batch_size": 3}, "measuring.batch_size"),
        ({"curves": True}, "measuring.curves (False, now True)"),
        ({"embedder": {"embedder": "tiny"}}, "measuring.embedder.embedder (pixels, now tiny)"),
    ],
)
def test_another_corpus_is_refused(tmp_path: Path, other: dict[str, object], said: str) -> None:
    manifest.begin(tmp_path, described())
    with pytest.raises(ConfigError) as error:
        manifest.begin(tmp_path, described(**other))  # type: ignore[arg-type]
    text = clips.one_line(error)
    assert said in text
    assert "choose another OUTPUT" in text


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "holiday.mp4")
    with pytest.raises(ConfigError, match=r"holiday\.mp4"):
        manifest.begin(tmp_path, described())
    assert not (tmp_path / "manifest.json").exists()


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", '{"identity": 1}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(ConfigError, match="damaged"):
            manifest.begin(tmp_path, described())


# The command


def test_without_ray_the_command_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    from spf.cli import main

    touch(tmp_path, "in/a.mp4")
    assert main(["corpus", str(tmp_path / "in"), str(tmp_path / "out")]) == 3
    text = harness.check_one_line(capsys.readouterr().err)
    assert "make setup" in text
    assert not (tmp_path / "out").exists()


def test_a_ray_that_does_not_start_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
    starts = []

    def init(*_: object, **given: object) -> None:
        starts.append(given["_temp_dir"])
        raise Exception("The node timed out\nduring startup")

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(UnavailableError, match="node timed out during startup") as error,
        local_or_remote(Crew(1)),
    ):
        pytest.fail("there is no Ray")
    clips.one_line(error)
    assert len(starts) == 2
    assert not Path(str(starts[0])).exists()
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpus", "1", "--workers", "1"], "contradict"),
        (["--gpus", "1", "--device", "cpu"], "contradict"),
        (["--embedder", "pixels", "--gpus", "1"], "runs on the CPU"),
        (["--embedder", "pixels", "--device", "cuda"], "runs on the CPU"),
        (["--device", "tpu"], "auto, cpu or cuda"),
        (["--embedder", "pixles"], "did you mean pixels"),
        (["--stride", "0"], "stride"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
    from spf.cli import main

    touch(tmp_path, "in/a.mp4")
    assert main(["corpus", str(tmp_path / "in"), str(tmp_path / "out"), *words]) == 2
    assert said in harness.check_one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
