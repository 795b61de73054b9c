"""`spf corpus` without Ray: which clips it reads, what it refuses, its rows and its shards."""

import csv
import os
import re
import sys
from collections import Counter
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from unittest.mock import Mock

import corpora
import harness
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clips import refused
from filelock import FileLock

import spf
from spf.cli import main
from spf.cluster import Pool
from spf.commands.corpus import _pool
from spf.corpus import run
from spf.corpus.inputs import as_text, list_clips
from spf.corpus.rows import FAILED, Measurer
from spf.corpus.run import Worker

pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

CLIP = "a/steady.mp4"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpora.build(tmp_path_factory.mktemp("corpus"))


def test_a_folder_gives_its_clips_in_one_order(tmp_path):
    wanted = ["B/z.MP4", "a/10.mkv", "a/9.mkv", "a/deep/er/c.gif", "b.mp4", "shots", "\udcff.mp4"]
    others = ["notes.txt", ".hidden/x.mp4", "a/.y.mp4", "a/9.jpg", "shots/1.png", "shots/2.png"]
    harness.touch(tmp_path, *[name for name in wanted if name != "shots"], *others)
    (tmp_path / "a" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert list_clips(tmp_path) == (tmp_path, wanted)
    assert as_text(wanted[-1]) == "\\xff.mp4"


def test_lists_give_the_same_as_they_say(tmp_path):
    wanted = ["b.mp4", 'a, "quoted".mp4', "/elsewhere/c.mp4", "b.mp4", "ä.mp4"]
    (tmp_path / "marked.txt").write_text("\n".join(wanted), encoding="utf-8-sig")
    (tmp_path / "list.txt").write_text("\n".join(wanted[:2]) + "\r\n\n" + "\n".join(wanted[2:]))
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "path"], *enumerate(wanted)])
    pq.write_table(pa.table({"n": range(5), "path": wanted}), tmp_path / "list.parquet")
    for source in tmp_path.iterdir():
        assert list_clips(source) == (tmp_path, wanted)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.csv", b"clip,n\nx.mp4,1\n", "no column path"),
    ("a.csv", b"n,path\n1,a.mp4\n2,\n", "row 3 has no path"), ("a.csv", b"", "no column path"),
    ("a.txt", b"a.mp4\nb\0c\n", "row 2 is no text"), ("a.txt", b"\n\n", "no clips found"),
    ("a.parquet", b"PAR1 but no more", "no valid Parquet"), ("a.mp4", b"x", "this is a clip"),
    ("0.png", b"x", "this is a clip"),
    ("shots/0.png", b"x", r"INPUT itself is never a clip; .* spf analyze"),
    ("other/a.txt", b"x", "no clips found"),
    ("absent", None, "no file and no folder; .* spf analyze"),
    ("pipe", None, "no file and no folder"),
])  # fmt: skip
def test_an_input_that_makes_no_sense_is_refused_in_a_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    elif name == "pipe":
        os.mkfifo(path)  # and is not waited for
    with refused(message):
        list_clips(path if path.parent == tmp_path else path.parent)


def task(worker, indices, names):
    named = [os.fsencode(names[index]) for index in indices]
    return worker(pa.table({"index": list(indices), "name": named}))


def row_of(root, measurer):
    (row,) = task(Worker(measurer, root, measurer.identity()), range(1), [CLIP]).to_pylist()
    return row


def test_rows_follow_the_sampling_and_the_bytes(corpus):
    strided = spf.Sampling(stride=2)
    row = row_of(corpus, Measurer("pixels", sampling=strided))
    curve = spf.measure(corpus / CLIP, "pixels", strided, cache=False)
    assert (row["frames"], row["linearity_mae"]) == (7, spf.score(curve)["linearity_mae"])
    assert row["sha256"] == sha256((corpus / CLIP).read_bytes()).hexdigest()
    row = row_of(corpus, Measurer("pixels", sampling=spf.Sampling(stream=3)))
    assert (row["status"], "stream" in row["reason"]) == (FAILED, True)


def test_any_error_is_a_row_but_for_a_gpu_that_failed(corpus, monkeypatch):
    gpu = spf.ClipError(corpus / CLIP, "the GPU failed (CUDA error: misaligned address)", "again")
    fail = Mock(side_effect=[ZeroDivisionError("first\nsecond"), gpu])
    monkeypatch.setattr("spf.corpus.rows.measure_clip", fail)
    monkeypatch.setattr("spf.corpus.rows.os._exit", sys.exit)
    measurer = Measurer("pixels")
    row = row_of(corpus, measurer)
    assert (row["status"], row["reason"]) == (FAILED, "ZeroDivisionError: first second")
    with pytest.raises(SystemExit):
        row_of(corpus, measurer)
    with refused("code differ", spf.SpfError):
        Worker(measurer, corpus, measurer.identity() | {"code": "of another version"})


@pytest.fixture
def no_ray(monkeypatch):
    """Measure in this process; the indices in the set are clips on which a worker dies."""
    deadly = set()

    def measured(tasks, names, base, measurer, *_, **__):
        worker = Worker(measurer, base, measurer.identity())
        for indices in reversed(tasks):
            if deadly.isdisjoint(indices):
                yield task(worker, indices, names)

    monkeypatch.setattr(run, "measured", measured)
    monkeypatch.setattr(Pool, "started", lambda _: nullcontext())
    return deadly


def test_lost_and_damaged_shards_are_measured_again_and_no_others(corpus, no_ray, tmp_path):
    rows, measured = corpora.make(corpus, tmp_path)
    assert measured == len(rows) == 22
    assert [row["index"] for row in rows] == list(range(22))
    before = corpora.contents(tmp_path)
    shards = [f"shard-{n:05d}.parquet" for n in range(5)]
    assert set(before) == {"manifest.json", "summary.csv", *shards}
    counted = csv.DictReader((tmp_path / "summary.csv").read_text().splitlines())
    summary = {(x["status"], x["reason"]): int(x["clips"]) for x in counted}
    reasons = ((x["status"], re.sub(r"[0-9]+([.,][0-9]+)*", "#", str(x["reason"]))) for x in rows)
    assert summary == Counter(reasons)
    (tmp_path / shards[1]).rename(tmp_path / ".spf-1.tmp")
    (tmp_path / shards[3]).write_bytes(before[shards[3]][:-9])
    (tmp_path / shards[4]).write_bytes(before[shards[0]])
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*[02].parquet")}
    assert corpora.make(corpus, tmp_path)[1] == 5 + 5 + 2
    assert corpora.contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert corpora.make(corpus, tmp_path)[1] == 0
    assert not list(tmp_path.glob(".spf-*.tmp"))


def test_damage_and_another_corpus_are_noticed(corpus, no_ray, tmp_path):
    corpora.make(corpus, tmp_path)
    path = tmp_path / "shard-00000.parquet"
    data, whole = path.read_bytes(), pq.read_table(path)
    assert run._finished(path, range(5), whole.schema)
    assert not run._finished(path, range(1, 6), whole.schema)
    unnoticed, places = 0, range(0, len(data), 97)
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        if run._finished(path, range(5), whole.schema):
            assert pq.read_table(path).equals(whole), place
            unnoticed += 1
    assert unnoticed < len(places) / 2
    no_ray |= set(range(22))
    for other, message in (
        ({"per_shard": 6}, "clips_per_shard (5, now 6)"), ({"batch_size": 3}, "batch_size"),
        ({"curves": False}, "curves (True, now False)"),
        ({"sampling": spf.Sampling(stride=2)}, "sampling"), ({"embedder": "histogram"}, "embedder"),
        ({"source": corpus / "d"}, "clips (22, now 12)"),
    ):  # fmt: skip
        message = f"{re.escape(message)}.*choose another OUTPUT"
        with refused(message):
            corpora.make(**{"source": corpus, "output": tmp_path, **other})


def test_a_clip_on_which_workers_die_is_a_row_and_costs_no_other(corpus, no_ray, tmp_path):
    expected, _ = corpora.make(corpus / "d", tmp_path / "whole")
    no_ray |= {7, 10}
    rows, measured = corpora.make(corpus / "d", tmp_path / "out")
    assert measured == 10
    for row, other in zip(rows, expected, strict=True):
        if row["index"] in no_ray:
            assert (row["path"], row["status"]) == (other["path"], FAILED)
            assert "its worker died on it twice" in str(row["reason"])
        else:
            assert row == other


def test_shards_grow_with_the_corpus(tmp_path, monkeypatch):
    """16 clips a shard, and at most about 4,096 shards."""

    def stop(pending, *_):
        tasks = list(pending.values())
        raise spf.SpfError(f"{len(tasks[0])} {tasks[0].start} {tasks[-1].stop}")

    monkeypatch.setattr(run, "_measure", stop)
    for count, size in ((40, 16), (65_536, 16), (100_000, 24)):
        names = [f"{n}.mp4" for n in range(count)]
        output = harness.touch(tmp_path / str(count), ".there")
        with pytest.raises(spf.SpfError, match=f"^{size} 0 {count}$"):
            run.make_corpus(names, tmp_path, output, Measurer("pixels"), Pool(1))


def test_an_output_in_use_or_full_is_refused(corpus, no_ray, tmp_path, monkeypatch):
    def check(message):
        with pytest.raises(spf.SpfError, match=message) as error:
            corpora.make(corpus, tmp_path)
        harness.check_one_line(str(error.value))

    harness.touch(tmp_path, "holiday.mp4")
    check(r"holiday\.mp4")
    (tmp_path / "holiday.mp4").unlink()
    for text in ("", "[]", "1"):
        (tmp_path / "manifest.json").write_text(text)
        check("damaged")
    (tmp_path / "manifest.json").unlink()
    with FileLock(tmp_path / run.LOCK):
        check("another process")

    full = Mock(side_effect=OSError(28, "No space left on disk"))
    monkeypatch.setattr("spf.files.synchronise", full)
    check("No space left on disk")
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(("options", "code", "message"), [
    (["--embedder", "pixels", "--gpus", "1"], 2, "runs on the CPU"),
    (["--address", "host:1"], 2, "give --gpus N or --workers N"),
    (["--workers", "0"], 2, "--workers"), (["--embedder", "pixles"], 2, "did you mean pixels"),
    (["--stride", "0"], 2, "stride"), (["file/out"], 2, "choose another"),
    ([], 3, "spf corpus needs the extra corpus: pip install 'semantic-progress[corpus]'"),
])  # fmt: skip
def test_senseless_options_are_refused(tmp_path, capsys, monkeypatch, options, code, message):
    monkeypatch.chdir(harness.touch(tmp_path, "in/a.mp4", "file"))
    if code == 3:
        monkeypatch.setitem(sys.modules, "ray", None)
    words = options if "file/out" in options else ["out", *options]
    assert main(["corpus", "in", *words]) == code
    assert message in harness.check_one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("options", "pool", "share"), [
    ((3, None, None), Pool(3), 0), ((None, 2, None), Pool(8, 2), 1 / 4),
    ((3, 2, None), Pool(3, 2), 1 / 2), ((2, 2, None), Pool(2, 2), 1),
    ((None, None, None), Pool(16, 4), 1 / 4), ((None, 9, "auto"), Pool(36, 9, "auto"), 1 / 4),
    ((9, None, "auto"), Pool(9, 0, "auto"), 0),
])  # fmt: skip
def test_who_works_is_what_was_asked_for(options, pool, share, monkeypatch):
    """On a machine with four GPUs."""
    monkeypatch.setattr("spf.devices.cuda_devices", lambda: 4)
    assert _pool("siglip", *options) == pool
    assert pool.gpu_share == share


def test_a_ray_that_does_not_start_is_one_line(monkeypatch):
    init = Mock(side_effect=Exception("The node timed out\nduring startup"))
    monkeypatch.setattr("ray.init", init)
    with refused("node timed out during startup", spf.UnavailableError):
        Pool(1).started().__enter__()
    first, _ = (call.kwargs["_temp_dir"] for call in init.call_args_list)
    assert not Path(first).exists()
