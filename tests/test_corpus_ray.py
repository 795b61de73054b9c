"""`spf corpus` with Ray: the same bytes whoever works, and whoever is killed meanwhile.

One Ray serves the fast tests: it takes many seconds to start.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import harness
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

import spf
from scripts.bad_clips import DAMAGES, make_bad_clips
from spf.corpus.inputs import open_listing
from spf.corpus.pipeline import PREFIX, SHORT, Crew, local_or_remote
from spf.corpus.rows import DONE, FAILED, SCORES, Measuring
from spf.corpus.run import Made, make_corpus

pytest.importorskip("ray", reason="spf corpus needs the extra corpus")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

NOT_COMPARED = {"timings"}


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with local_or_remote(Crew(2)):
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 clips that differ, of which 3 cannot be read, in an order unlike that of their sizes."""
    root = tmp_path_factory.mktemp("corpus")
    for number in range(37):
        frames = harness.steady(4 + number * 7 % 23, seed=number, power=1 + number % 3)
        harness.save(root / f"{number % 4}" / f"{number:03d}.mp4", frames)
    (root / "1" / "empty.mp4").touch()
    (root / "2" / "junk.mp4").write_bytes(b"junk " * 99)
    harness.save(root / "3" / "one.mp4", harness.steady(2)[:1])
    return root


@pytest.fixture(scope="module")
def undisturbed(local_ray: None, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as one worker makes it."""
    output = tmp_path_factory.mktemp("one")
    assert measure(corpus, output, Crew(1)).counts == {"clips": 40, DONE: 37, FAILED: 3}
    return output


def measure(
    source: Path,
    output: Path,
    crew: Crew,
    progress: Callable[[int], object] = int,
    embedder: object = "pixels",
) -> Made:
    output.mkdir(exist_ok=True)
    measuring = Measuring(embedder, curves=True)  # type: ignore[arg-type]
    return make_corpus(open_listing(source), output, measuring, crew, 15, progress=progress)


def contents(output: Path) -> dict[str, bytes]:
    """What must repeat byte by byte: all files but the timings."""
    return {
        path.name: path.read_bytes() for path in output.iterdir() if path.name not in NOT_COMPARED
    }


def rows_of(output: Path) -> list[dict[str, object]]:
    """All rows in the order of the shards."""
    return [
        row for path in sorted(output.glob("shard-*")) for row in pq.read_table(path).to_pylist()
    ]


def test_rows_are_those_of_measure(corpus: Path, undisturbed: Path) -> None:
    names = list(open_listing(corpus))
    rows = rows_of(undisturbed)
    assert [row["path"] for row in rows] == names
    for row in rows:
        if row["status"] == FAILED:
            with pytest.raises(spf.ClipError) as error:
                spf.measure(corpus / str(row["path"]), "pixels", cache=False)
            assert row["reason"] == f"{error.value.reason}; {error.value.remedy}"
            continue
        curve = spf.measure(corpus / str(row["path"]), "pixels", cache=False)
        scores = spf.score(curve)
        assert [row[name] for name in SCORES] == [
            None if np.isnan(scores[name]) else scores[name] for name in SCORES
        ]
        assert np.array_equal(row["progress"], curve.progress)


def test_two_workers_write_the_same_bytes(corpus: Path, undisturbed: Path, tmp_path: Path) -> None:
    measure(corpus, tmp_path, Crew(2, decoders=2))
    assert contents(tmp_path) == contents(undisturbed)
    assert {"manifest.json", "summary.csv", "shard-00002.parquet"} <= set(contents(tmp_path))
    timings = pq.read_table(tmp_path / "timings" / "shard-00000.parquet").to_pylist()
    assert all(row["embed_seconds"] > 0 for row in timings if row["embed_seconds"] is not None)


@pytest.mark.slow
def test_a_shard_that_is_lost_alone_is_made_again(
    corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    for name, data in contents(undisturbed).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "shard-00001.parquet").write_bytes(b"PAR1 damaged")
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*")}
    made = measure(corpus, tmp_path, Crew(1))
    assert made.measured == 15
    assert contents(tmp_path) == contents(undisturbed)
    changed = [
        path.name
        for path in tmp_path.glob("shard-*")
        if path.stat().st_mtime_ns != times[path.name]
    ]
    assert changed == ["shard-00001.parquet"]
    made = measure(corpus, tmp_path, Crew(1))
    assert (made.measured, made.counts["clips"]) == (0, 40)


def actors() -> list[psutil.Process]:
    """The workers of this process's Ray."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.name().startswith("ray::MapWork")
    ]


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_clips_count_once(
    corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill(_: int) -> None:
        if not killed:
            for worker in actors():
                killed.append(worker.pid)
                os.kill(worker.pid, signal.SIGKILL)

    made = measure(corpus, tmp_path, Crew(2), kill)
    assert len(killed) == 2
    assert contents(tmp_path) == contents(undisturbed)
    assert made.measured == 40
    workers = {
        row["worker"].rpartition(":")[2]
        for path in (tmp_path / "timings").iterdir()
        for row in pq.read_table(path).to_pylist()
    }
    assert workers - {str(pid) for pid in killed}


def deadly() -> object:
    """An embedder like `pixels` that kills its process at a frame that is nearly black."""

    class Deadly:
        name, control, batch_size = "deadly", True, 4

        def prepare(self, image: np.ndarray) -> np.ndarray:
            return image[::8, ::8].astype(np.float32).ravel() + 1

        def encode(self, batch: np.ndarray) -> np.ndarray:
            if batch.mean() < 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return batch

        def identity(self) -> dict[str, object]:
            return {"embedder": self.name}

    return Deadly()


@pytest.mark.slow
def test_a_deadly_clip_becomes_a_row_and_harms_no_other(local_ray: None, tmp_path: Path) -> None:
    for number in range(12):
        harness.save(tmp_path / "in" / f"{number:02d}.mp4", harness.steady(6, seed=number))
    dark = [np.zeros((32, 32, 3), np.uint8)] * 6
    harness.save(tmp_path / "in" / "05.mp4", dark)
    made = measure(tmp_path / "in", tmp_path / "out", Crew(1, decoders=2), embedder=deadly())
    rows = rows_of(tmp_path / "out")
    assert [row["path"] for row in rows if row["status"] == FAILED] == ["05.mp4"]
    assert "its worker died on it 3 times" in str(rows[5]["reason"])
    assert made.counts == {"clips": 12, DONE: 11, FAILED: 1}


# The command, as a process


def command(source: Path, output: Path, *more: str) -> list[str]:
    words = ["--embedder", "pixels", "--clips-per-shard", "15", "--curves", "--workers", "2"]
    return [*harness.SPF, "corpus", str(source), str(output), *words, *more]


def folder_of(pid: int) -> Path:
    """The temporary folder of a command, as the processes of its Ray name it."""
    lines = [" ".join(child.cmdline()) for child in psutil.Process(pid).children()]
    (found,) = set(re.findall(f"{SHORT}/{PREFIX}[a-z0-9_]+", "\n".join(lines)))
    assert Path(found).is_dir()
    return Path(found)


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def addresses(pid: int) -> set[str]:
    """Where a process and its children listen now."""
    found: set[str] = set()
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                found |= {
                    connection.laddr.ip
                    for connection in child.net_connections("inet")
                    if connection.status == psutil.CONN_LISTEN
                }
    return found


def is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@pytest.mark.slow
def test_kills_cost_no_finished_shard_and_change_no_byte(
    corpus: Path, undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    process = harness.start(*command(corpus, output))
    listening: set[str] = set()

    def a_shard_is_there() -> bool:
        listening.update(addresses(process.pid))
        return any(output.glob("shard-*"))

    wait_for(a_shard_is_there, process)
    folder = folder_of(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert folder.is_dir()
    assert listening
    assert all(is_loopback(address) for address in listening), listening
    there = {path.name: path.stat().st_mtime_ns for path in output.glob("shard-*")}
    done = harness.command(*command(corpus, output), timeout=300)
    assert done.returncode == 1, done.stderr  # three clips cannot be read
    assert f"{len(there)} of them finished" in done.stdout
    assert "Traceback" not in done.stderr
    for name, changed in there.items():
        assert (output / name).stat().st_mtime_ns == changed
    assert contents(output) == contents(undisturbed)
    assert not folder.exists()  # the next command has removed it


@pytest.mark.slow
def test_ctrl_c_ends_it_and_leaves_nothing_running(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = harness.start(*command(corpus, output))
    wait_for(lambda: list(output.glob("shard-*")), process)
    children = psutil.Process(process.pid).children(recursive=True)
    folder = folder_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=120)
    if process.returncode != 130:  # it had ended just before
        assert "measured now" in out
    else:
        assert "interrupted" in harness.check_one_line(err)
    assert not folder.exists()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    done = harness.command(*command(corpus, output, "--stride", "2"), timeout=120)
    assert done.returncode == 2
    assert "measuring.sampling.stride (1, now 2)" in harness.check_one_line(done.stderr)


@pytest.mark.slow
def test_thousands_of_tiny_clips_good_and_damaged(tmp_path: Path) -> None:
    """Every clip is one row, of the status that measuring it by itself gives."""
    source = tmp_path / "in"
    damaged = make_bad_clips(source, 14 * len(DAMAGES), seed=3, large=False)
    kept = [path for path in damaged if path.stat().st_size < 200_000]
    listing = [str(path) for path in kept]
    for number in range(200):
        frames = harness.steady(3 + number % 5, seed=number)
        listing.append(str(harness.save(source / "tiny" / f"{number}.mp4", frames)))
    listing *= 3000 // len(listing) + 1
    (tmp_path / "list.txt").write_text("\n".join(listing))
    output = tmp_path / "out"
    words = ["--embedder", "pixels", "--workers", "2", "--clips-per-shard", "500"]
    done = harness.command(
        *harness.SPF, "corpus", str(tmp_path / "list.txt"), str(output), *words, timeout=900
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    rows = rows_of(output)
    assert [row["path"] for row in rows] == listing
    assert len({(row["path"], row["status"], row["reason"]) for row in rows}) == len(set(listing))
    counts = json.loads((output / "manifest.json").read_text())["counts"]
    assert counts["clips"] == len(listing) == counts[DONE] + counts[FAILED]
    assert counts[DONE] >= 200 * (len(listing) // len(set(listing)))
    assert counts[FAILED] > 0
    for row in rows:
        assert row["status"] in (DONE, FAILED)
        assert "\n" not in str(row["reason"])
        assert row["reason"] or row["status"] == DONE
