"""`spf corpus` without Ray: which clips it reads, what tasks it gives."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import clips
import harness
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spf.corpus.inputs import as_text, names_digest, open_listing, survey
from spf.corpus.pipeline import CLIPS_PER_TASK, Crew, tasks_of
from spf.corpus.worker import Ledger
from spf.errors import ConfigError, SpfError


def names_of(source: Path) -> list[str]:
    return list(open_listing(source))


# What is read


def test_a_folder_gives_its_clips_in_one_order(tmp_path: Path) -> None:
    wanted = ["b.mp4", "B/z.MP4", "a/10.mkv", "a/9.mkv", "a/deep/er/c.gif", "shots"]
    others = ["notes.txt", ".hidden/x.mp4", "a/.y.mp4", "a/9.jpg", "shots/1.png", "shots/2.png"]
    harness.touch(tmp_path, *[name for name in wanted if name != "shots"], *others)
    found = names_of(tmp_path)
    assert sorted(found) == sorted(wanted)
    assert found == ["B/z.MP4", "a/10.mkv", "a/9.mkv", "a/deep/er/c.gif", "b.mp4", "shots"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    harness.touch(tmp_path, "a/b/c.mp4")
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
    (tmp_path / "marked.txt").write_text("\n".join(wanted), encoding="utf-8-sig")
    text = tmp_path / "list.txt"
    text.write_text("\n".join(wanted[:2]) + "\r\n\n" + "\n".join(wanted[2:]))
    table = tmp_path / "list.csv"
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([["id", "path"], *enumerate(wanted)])
    pq.write_table(pa.table({"n": range(5), "path": wanted}), tmp_path / "list.parquet")
    for source in (text, table, tmp_path / "list.parquet", tmp_path / "marked.txt"):
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
        ("0.png", b"x", "this is a clip"),
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
        survey(open_listing(harness.touch(tmp_path, "a.txt")), 10)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ConfigError, match="neither a folder nor a regular file") as error:
        open_listing(tmp_path / "pipe.csv")
    clips.one_line(error)


def test_a_folder_of_images_is_no_clip_if_it_is_the_input(tmp_path: Path) -> None:
    harness.touch(tmp_path, "shots/1.png", "shots/2.png")
    with pytest.raises(ConfigError, match=r"INPUT itself is never a clip; .* spf analyze") as error:
        survey(open_listing(tmp_path / "shots"), 10)
    clips.one_line(error)
    assert names_of(tmp_path) == ["shots"]


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
    listing = open_listing(harness.touch(tmp_path, *[f"{number:03d}.mp4" for number in range(43)]))
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
    listing = open_listing(harness.touch(tmp_path, *[f"{number:03d}.mp4" for number in range(12)]))
    found = survey(listing, 2)
    ledger = Ledger()
    waits: list[int] = []

    def sleep(seconds: float) -> None:
        waits.append(len(given))
        if len(waits) == 7:
            ledger.__init__()  # type: ignore[misc]  # as when Ray starts it again
        if len(waits) % 3 == 0:
            ledger.wrote(len(waits) // 3)

    monkeypatch.setattr("spf.corpus.pipeline.time.sleep", sleep)
    given: list[int] = []
    for first, _ in tasks_of(listing, found, range(6), ledger, 2):
        given.append(first)
        assert len(given) <= len(waits) // 3 + 2
    assert given == [0, 2, 4, 6, 8, 10]
    assert waits == [count for count in (2, 3, 4, 5) for _ in range(3)]


def test_an_input_that_changes_meanwhile_ends_the_work(tmp_path: Path) -> None:
    listing = open_listing(harness.touch(tmp_path, "a.mp4", "b.mp4", "c.mp4"))
    found = survey(listing, 2)
    harness.touch(tmp_path, "aa.mp4")
    with pytest.raises(SpfError, match="changed while it was read"):
        list(tasks_of(listing, found, [0, 1], Ledger(), 2))


def test_open_shards_are_enough_for_all_workers() -> None:
    for size, workers, decoders in ((1, 1, 1), (10, 64, 8), (1000, 2, 1)):
        crew = Crew(workers, decoders=decoders)
        clips_open = crew.open_shards(size) * size
        assert clips_open >= workers * decoders * 2 * CLIPS_PER_TASK
