"""Shards of `spf corpus` and its manifest: same bytes, damage noticed, other corpora refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import clips
import harness
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spf.corpus import manifest, shards
from spf.corpus.inputs import survey
from spf.corpus.rows import DONE, FAILED, Measuring, as_table, schema
from spf.corpus.shards import Assembly, finished, shard_path, timings_path, write_shard
from spf.errors import ConfigError, SpfError

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


def test_what_is_half_written_is_removed(tmp_path: Path) -> None:
    harness.touch(tmp_path, ".spf-1.tmp", "timings/.spf-2.tmp", "keep.parquet")
    shards.remove_half_written(tmp_path)
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
    harness.touch(tmp_path, "holiday.mp4")
    with pytest.raises(ConfigError, match=r"holiday\.mp4"):
        manifest.begin(tmp_path, described())
    assert not (tmp_path / "manifest.json").exists()


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    for text in ("", "[]", '{"identity": 1}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(ConfigError, match="damaged"):
            manifest.begin(tmp_path, described())
