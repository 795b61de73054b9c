"""`spf corpus`: which clips it reads, what it refuses, and its rows, whoever works or is killed."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import clips
import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from PIL import Image

import spf
from spf.cli import main
from spf.cluster import Pool
from spf.corpus import run
from spf.corpus.inputs import as_text, list_clips
from spf.corpus.pool import Worker
from spf.corpus.rows import COLUMNS, CURVES, DONE, FAILED, SCORES, Measurer
from spf.embedders import load_embedder
from spf.errors import ConfigError, SpfError

pytest.importorskip("ray", reason="spf corpus needs the extra corpus")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad clips of all kinds: 17 are measured, 5 fail."""
    root = tmp_path_factory.mktemp("corpus")
    good = harness.save(root / "a" / "steady.mp4", harness.steady(14))
    harness.save(root / "a" / "jumping.mp4", harness.jumping(12, seed=1))
    harness.save(root / "a" / "still.mp4", harness.still(12))
    (root / "b" / "images").mkdir(parents=True)
    (root / "c").mkdir()
    clips.animate(root / "b" / "moving.gif", harness.steady(9, seed=2), [80] * 9)
    for number, image in enumerate(harness.steady(6, seed=3)):
        Image.fromarray(image).save(root / "b" / "images" / f"{number}.png")
    for number in range(12):
        harness.save(root / "d" / f"{number}.mp4", harness.steady(4 + number * 7 % 11, seed=number))
    (root / "c" / "empty.mp4").touch()
    (root / "c" / "junk.mp4").write_bytes(b"junk " * 99)
    clips.cut(good, root / "c" / "short.mp4", 0.3)
    (root / "c" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    harness.save(root / "c" / "one.mp4", harness.steady(2)[:1])
    return root


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


def check_rows(root: Path, rows: list[dict[str, object]]) -> None:
    """Each row holds what `spf.measure` and `spf.score` give of its clip, or the reason why not."""
    for row in rows:
        path = root / str(row["path"])
        try:
            curve = spf.measure(path, "pixels", cache=False)
        except spf.ClipError as error:
            assert (row["status"], row["reason"]) == (FAILED, f"{error.reason}; {error.remedy}")
            assert all(row[name] is None for name in (*SCORES, "frames", *CURVES))
            continue
        assert (row["status"], row["reason"]) == (DONE, spf.no_change_reason(curve) or "")
        assert row["frames"] == len(curve)
        for name, value in spf.score(curve).items():
            assert row[name] == value or (row[name] is None and np.isnan(value)), name
        for name in CURVES:
            assert np.array_equal(row[name], getattr(curve, name))


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


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One Ray for all: it takes many seconds to start."""
    with Pool(2).started():
        yield


def make(
    source: Path, output: Path, workers: int = 1, per_shard: int = 5, **settings: object
) -> tuple[list[dict[str, object]], int]:
    """All rows in the order of the shards, and the number of clips that were measured now."""
    output.mkdir(exist_ok=True)
    base, names = list_clips(source)
    measurer = Measurer(**{"embedder": "pixels", "curves": True} | settings)  # type: ignore[arg-type]
    counts: list[int] = []
    pool = Pool(workers)
    run.make_corpus(names, base, output, measurer, pool, per_shard, on_progress=counts.append)
    return rows_of(output), sum(counts)


def rows_of(output: Path) -> list[dict[str, object]]:
    return [
        row for path in sorted(output.glob("shard-*")) for row in pq.read_table(path).to_pylist()
    ]


def contents(output: Path) -> dict[str, bytes]:
    """All that the folder holds for people."""
    return {path.name: path.read_bytes() for path in output.iterdir() if path.name[0] != "."}


def test_rows_are_those_of_measure_and_two_workers_write_the_same_bytes(
    corpus: Path, local_ray: None, tmp_path: Path
) -> None:
    rows, measured = make(corpus, tmp_path / "one")
    assert measured == len(rows) == 22
    assert [row["path"] for row in rows] == names_of(corpus)
    assert [row["index"] for row in rows] == list(range(22))
    check_rows(corpus, rows)
    assert list(rows[0]) == [*COLUMNS, *CURVES]
    assert {row["path"]: row["reason"] for row in rows}["a/still.mp4"] == "no semantic change"
    make(corpus, tmp_path / "two", 2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    assert set(one) == {
        "manifest.json",
        "summary.csv",
        *(f"shard-0000{n}.parquet" for n in range(5)),
    }
    with open(tmp_path / "one" / "summary.csv", newline="") as file:
        summary = list(csv.DictReader(file))
    assert sum(int(row["clips"]) for row in summary if row["status"] == DONE) == 17
    assert sum(int(row["clips"]) for row in summary if row["status"] == FAILED) == 5
    # Damage and loss of a shard cost that shard.
    (tmp_path / "two" / "shard-00001.parquet").unlink()
    whole = one["shard-00003.parquet"]
    (tmp_path / "two" / "shard-00003.parquet").write_bytes(whole[:200] + b"\x41" + whole[201:])
    _, measured = make(corpus, tmp_path / "two", 2)
    assert measured == 10
    assert contents(tmp_path / "two") == one
