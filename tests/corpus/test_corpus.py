"""`spf corpus` without Ray: which clips it reads, what it refuses, its rows and its shards."""

from __future__ import annotations

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import clips
import corpora
import harness
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

import spf
from spf.cli import main
from spf.cluster import Pool
from spf.commands.corpus import _pool
from spf.corpus import run
from spf.corpus.inputs import as_text, list_clips
from spf.corpus.pool import Worker
from spf.corpus.rows import FAILED, Measurer
from spf.errors import ConfigError, SpfError, UnavailableError

pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.build(tmp_path_factory.mktemp("corpus"))


# Input


def names_of(source: Path) -> list[str]:
    return list_clips(source)[1]


def test_a_folder_gives_its_clips_in_one_order(tmp_path: Path) -> None:
    wanted = ["b.mp4", "B/z.MP4", "a/10.mkv", "a/9.mkv", "a/deep/er/c.gif", "shots"]
    others = ["notes.txt", ".hidden/x.mp4", "a/.y.mp4", "a/9.jpg", "shots/1.png", "shots/2.png"]
    harness.touch(tmp_path, *[name for name in wanted if name != "shots"], *others)
    (tmp_path / "a" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = names_of(tmp_path)
    assert sorted(found) == sorted(wanted)
    assert found == ["B/z.MP4", "a/10.mkv", "a/9.mkv", "a/deep/er/c.gif", "b.mp4", "shots"]


def test_names_that_are_no_utf8_are_found_again(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.mp4", "wb") as file:
        file.write(b"x")
    (name,) = names_of(tmp_path)
    assert os.fsencode(name) == b"\xff.mp4"
    assert as_text(name) == "\\xff.mp4"


def test_lists_give_the_same_as_they_say(tmp_path: Path) -> None:
    wanted = ["b.mp4", 'a, "quoted".mp4', "/elsewhere/c.mp4", "b.mp4", "ä.mp4"]
    (tmp_path / "marked.txt").write_text("\n".join(wanted), encoding="utf-8-sig")
    (tmp_path / "list.txt").write_text("\n".join(wanted[:2]) + "\r\n\n" + "\n".join(wanted[2:]))
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "path"], *enumerate(wanted)])
    pq.write_table(pa.table({"n": range(5), "path": wanted}), tmp_path / "list.parquet")
    for source in tmp_path.iterdir():
        assert list_clips(source) == (tmp_path, wanted)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"clip,n\nx.mp4,1\n", "no column path"),
        ("a.csv", b"n,path\n1,a.mp4\n2,\n", "row 3 has no path"),
        ("a.csv", b"", "no column path"),
        ("a.txt", b"a.mp4\nb\0c\n", "row 2 is no text"),
        ("a.txt", b"\n\n", "no clips found"),
        ("a.parquet", b"PAR1 but no more", "no valid Parquet"),
        ("a.mp4", b"x", "this is a clip"),
        ("0.png", b"x", "this is a clip"),
        ("shots/0.png", b"x", r"INPUT itself is never a clip; .* spf analyze"),
        ("other/a.txt", b"x", "no clips found"),
        ("absent", None, "no file and no folder; .* spf analyze"),
        ("pipe", None, "no file and no folder"),
    ],
)
def test_an_input_that_makes_no_sense_is_refused_in_a_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    elif name == "pipe":
        os.mkfifo(path)  # and is not waited for
    with pytest.raises(ConfigError, match=message) as error:
        list_clips(path if path.parent == tmp_path else path.parent)
    clips.one_line(error)


# Rows


def work(root: Path, measurer: Measurer, *names: str) -> list[dict[str, object]]:
    """The rows that a worker makes."""
    task = pa.table({"index": range(len(names)), "name": [os.fsencode(name) for name in names]})
    return Worker(measurer, root, measurer.identity())(task).to_pylist()


def test_rows_follow_the_sampling_and_the_bytes(corpus: Path) -> None:
    clip = corpus / "a" / "steady.mp4"
    (row,) = work(corpus, Measurer("pixels", sampling=spf.Sampling(stride=2)), "a/steady.mp4")
    curve = spf.measure(clip, "pixels", spf.Sampling(stride=2), cache=False)
    assert (row["frames"], row["linearity_mae"]) == (7, spf.score(curve)["linearity_mae"])
    assert row["sha256"] == sha256(clip.read_bytes()).hexdigest()
    (row,) = work(corpus, Measurer("pixels", sampling=spf.Sampling(stream=3)), "a/steady.mp4")
    assert row["status"] == FAILED
    assert "stream" in str(row["reason"])


def test_any_error_of_a_library_is_a_row(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: object, **__: object) -> None:
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr("spf.corpus.rows.measure_clip", burst)
    (row,) = work(corpus, Measurer("pixels"), "a/steady.mp4")
    assert (row["status"], row["reason"]) == (FAILED, "ZeroDivisionError: first second")


def test_a_gpu_that_failed_ends_the_process(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise spf.ClipError(path, "the GPU failed (CUDA error: misaligned address)", "again")

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("spf.corpus.rows.measure_clip", fail)
    monkeypatch.setattr("spf.corpus.rows.os._exit", leave)
    with pytest.raises(SystemExit):
        work(corpus, Measurer("pixels"), "a/steady.mp4")


def test_a_worker_with_other_code_does_not_begin(corpus: Path) -> None:
    measurer = Measurer("pixels")
    with pytest.raises(SpfError, match="code differ") as error:
        Worker(measurer, corpus, measurer.identity() | {"code": "of another version"})
    clips.one_line(error)


# A whole corpus


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Measure in this process; the indices in the set are clips on which a worker dies."""
    deadly: set[int] = set()

    def measured(
        tasks: list[range], names: list[str], base: Path, measurer: Measurer, *_: object, **__: bool
    ) -> Iterator[pa.Table]:
        worker = Worker(measurer, base, measurer.identity())
        for task in reversed(tasks):
            if deadly.isdisjoint(task):
                named = [os.fsencode(names[index]) for index in task]
                yield worker(pa.table({"index": list(task), "name": named}))

    monkeypatch.setattr(run, "measured", measured)
    monkeypatch.setattr(Pool, "started", lambda _: nullcontext())
    return deadly


def test_lost_and_damaged_shards_are_measured_again_and_no_others(
    corpus: Path, no_ray: set[int], tmp_path: Path
) -> None:
    rows, measured = corpora.make(corpus, tmp_path)
    assert measured == len(rows) == 22
    assert [row["index"] for row in rows] == list(range(22))
    before = corpora.contents(tmp_path)
    assert set(before) == {
        "manifest.json",
        "summary.csv",
        *(f"shard-{n:05d}.parquet" for n in range(5)),
    }
    with open(tmp_path / "summary.csv", newline="") as file:
        summary = {(x["status"], x["reason"]): int(x["clips"]) for x in csv.DictReader(file)}
    reasons = ((x["status"], re.sub(r"[0-9]+([.,][0-9]+)*", "#", str(x["reason"]))) for x in rows)
    assert summary == Counter(reasons)
    (tmp_path / "shard-00001.parquet").rename(tmp_path / ".spf-1.tmp")
    (tmp_path / "shard-00003.parquet").write_bytes(before["shard-00003.parquet"][:-9])
    (tmp_path / "shard-00004.parquet").write_bytes(before["shard-00000.parquet"])
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*[02].parquet")}
    assert corpora.make(corpus, tmp_path)[1] == 5 + 5 + 2
    assert corpora.contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert corpora.make(corpus, tmp_path)[1] == 0
    assert not list(tmp_path.glob(".spf-*.tmp"))


def test_damage_of_a_shard_is_noticed(corpus: Path, no_ray: set[int], tmp_path: Path) -> None:
    """Whatever byte is changed: the shard is void, or what is read from it is unchanged."""
    corpora.make(corpus, tmp_path)
    path = tmp_path / "shard-00000.parquet"
    data, whole = path.read_bytes(), pq.read_table(path)
    assert run._finished(path, range(5), whole.schema)
    assert not run._finished(path, range(1, 6), whole.schema)
    noticed = 0
    for place in range(0, len(data), 29):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        if not run._finished(path, range(5), whole.schema):
            noticed += 1
        else:
            assert pq.read_table(path).equals(whole), place
    assert noticed > len(data) / 29 / 2


def test_a_clip_on_which_workers_die_is_a_row_and_costs_no_other(
    corpus: Path, no_ray: set[int], tmp_path: Path
) -> None:
    expected, _ = corpora.make(corpus, tmp_path / "whole")
    no_ray |= {7, 20}
    rows, measured = corpora.make(corpus, tmp_path / "out")
    assert measured == 20
    for row, other in zip(rows, expected, strict=True):
        if row["index"] in no_ray:
            assert (row["path"], row["status"]) == (other["path"], FAILED)
            assert "its worker died on it twice" in str(row["reason"])
        else:
            assert row == other


def test_shards_grow_with_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 clips a shard, and at most about 4,096 shards."""
    tasks: list[range] = []

    def stop(pending: dict[Path, range], *_: object) -> None:
        tasks.extend(pending.values())
        raise SpfError("stop")

    monkeypatch.setattr(run, "_measure", stop)
    for count, size in ((40, 16), (65_536, 16), (100_000, 24)):
        tasks.clear()
        output = tmp_path / str(count)
        output.mkdir()
        names = [f"{n}.mp4" for n in range(count)]
        with pytest.raises(SpfError, match="stop"):
            run.make_corpus(names, tmp_path, output, Measurer("pixels"), Pool(1))
        assert {len(task) for task in tasks[:-1]} == {size}
        assert [tasks[0].start, tasks[-1].stop] == [0, count]


# What is refused, in a line


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"per_shard": 6}, "clips_per_shard (5, now 6)"),
        ({"batch_size": 3}, "batch_size"),
        ({"curves": False}, "curves (True, now False)"),
        ({"sampling": spf.Sampling(stride=2)}, "sampling"),
        ({"embedder": "histogram"}, "embedder"),
        ({"source": "d"}, "clips (22, now 12)"),
    ],
)
def test_another_corpus_is_refused(
    corpus: Path, no_ray: set[int], tmp_path: Path, other: dict[str, object], message: str
) -> None:
    no_ray |= set(range(22))
    corpora.make(corpus, tmp_path)
    source = corpus / str(other.pop("source", ""))
    with pytest.raises(ConfigError) as error:
        corpora.make(source, tmp_path, **other)  # type: ignore[arg-type]
    text = clips.one_line(error)
    assert message in text
    assert "choose another OUTPUT" in text


def test_an_output_of_other_things_or_in_use_or_full_is_refused(
    corpus: Path, no_ray: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.touch(tmp_path, "holiday.mp4")
    with pytest.raises(ConfigError, match=r"holiday\.mp4") as error:
        corpora.make(corpus, tmp_path)
    clips.one_line(error)
    (tmp_path / "holiday.mp4").unlink()
    for text in ("", "[]", "1"):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(ConfigError, match="damaged"):
            corpora.make(corpus, tmp_path)
    (tmp_path / "manifest.json").unlink()
    with (
        FileLock(tmp_path / run.LOCK),
        pytest.raises(ConfigError, match="another process") as error,
    ):
        corpora.make(corpus, tmp_path)
    clips.one_line(error)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "synchronise", full)
    with pytest.raises(SpfError, match="No space left on device") as error:
        corpora.make(corpus, tmp_path)
    clips.one_line(error)
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--embedder", "pixels", "--gpus", "1"], "runs on the CPU"),
        (["--address", "host:1"], "give --gpus N or --workers N"),
        (["--workers", "0"], "--workers"),
        (["--embedder", "pixles"], "did you mean pixels"),
        (["--stride", "0"], "stride"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    harness.touch(tmp_path, "in/a.mp4", "file")
    assert main(["corpus", str(tmp_path / "in"), str(tmp_path / "out"), *options]) == 2
    assert message in harness.check_one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
    assert main(["corpus", str(tmp_path / "in"), str(tmp_path / "file" / "out")]) == 2
    assert "choose another" in harness.check_one_line(capsys.readouterr().err)


def test_without_ray_the_command_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    harness.touch(tmp_path, "in/a.mp4")
    assert main(["corpus", str(tmp_path / "in"), str(tmp_path / "out")]) == 3
    text = harness.check_one_line(capsys.readouterr().err)
    assert text == "spf corpus needs the extra corpus: pip install 'semantic-progress[corpus]'"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "pool", "share"),
    [
        ((3, None, None), Pool(3), 0),
        ((None, 2, None), Pool(8, 2), 1 / 4),
        ((3, 2, None), Pool(3, 2), 1 / 2),
        ((2, 2, None), Pool(2, 2), 1),
        ((None, None, None), Pool(16, 4), 1 / 4),
        ((None, 9, "auto"), Pool(36, 9, "auto"), 1 / 4),
        ((9, None, "auto"), Pool(9, 0, "auto"), 0),
    ],
)
def test_who_works_is_what_was_asked_for(
    options: tuple[int | None, int | None, str | None],
    pool: Pool,
    share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine with four GPUs."""
    monkeypatch.setattr("spf.devices.cuda_devices", lambda: 4)
    assert _pool("siglip", *options) == pool
    assert pool.gpu_share == share


def test_a_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[str] = []

    def init(*_: object, **settings: object) -> None:
        starts.append(str(settings["_temp_dir"]))
        raise Exception("The node timed out\nduring startup")

    monkeypatch.setattr("ray.init", init)
    with pytest.raises(UnavailableError, match="node timed out during startup") as error:
        Pool(1).started().__enter__()
    clips.one_line(error)
    assert len(starts) == 2
    assert not Path(starts[0]).exists()
