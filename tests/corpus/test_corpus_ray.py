"""`spf corpus` with Ray: the rows of `spf.measure`, the same bytes whoever works or is killed."""

import ipaddress
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import corpora
import harness
import numpy as np
import psutil
import pytest

import spf
from spf.cli import main
from spf.cluster import Pool
from spf.corpus.inputs import list_clips
from spf.corpus.rows import COLUMNS, CURVES, DONE, FAILED, SCORES


def check_rows(root, rows):
    """Each row holds what `spf.measure` and `spf.score` give of its clip, or the reason why not."""
    for row in rows:
        path = root / str(row["path"])
        if row["status"] == FAILED:
            with pytest.raises(spf.ClipError) as error:
                spf.measure(path, "pixels", cache=False)
            assert row["reason"] == f"{error.value.reason}; {error.value.remedy}"
            assert all(row[name] is None for name in (*SCORES, "frames", *CURVES))
            continue
        curve = spf.measure(path, "pixels", cache=False)
        assert (row["status"], row["reason"]) == (DONE, spf.no_change_reason(curve) or "")
        assert row["frames"] == len(curve)
        for name, value in spf.score(curve).items():
            assert row[name] == value or (row[name] is None and np.isnan(value)), name
        for name in CURVES:
            assert np.array_equal(row[name], getattr(curve, name))


ray_data = pytest.importorskip("ray.data", reason="spf corpus needs the extra corpus")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")

OPTIONS = ["--embedder", "pixels", "--clips-per-shard", "5", "--curves", "--workers"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpora.build(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def local_ray():
    with Pool(2).started():
        yield


@pytest.fixture(scope="module")
def undisturbed(corpus, local_ray, tmp_path_factory):
    """The corpus as the command makes it, with one worker, where Ray would split large shards."""
    output = tmp_path_factory.mktemp("one") / "out"
    context = ray_data.DataContext.get_current()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "target_max_block_size", 1000)  # bytes: less than a shard has
        code = main(["corpus", str(corpus), str(output), *OPTIONS, "1"])
    assert code == 1  # some clips cannot be read
    return output


@pytest.mark.slow
def test_rows_are_those_of_measure(corpus, undisturbed):
    rows = corpora.rows_of(undisturbed)
    assert [row["path"] for row in rows] == list_clips(corpus)[1]
    assert list(rows[0]) == [*COLUMNS, *CURVES]
    check_rows(corpus, rows)
    assert [row["status"] for row in rows].count(DONE) == 17
    assert {row["path"]: row["reason"] for row in rows}["a/still.mp4"] == "no semantic change"
    for row in rows:
        assert str(row["reason"]).isprintable()
        assert str(corpus) not in str(row["reason"])


def deadly():
    """An embedder like `pixels` that kills its process at a frame that is nearly black."""

    class Deadly:
        name, control, batch_size = "deadly", True, 4

        def prepare(self, image):
            return image[::8, ::8].astype(np.float32).ravel() + 1

        def encode(self, batch):
            if batch.mean() < 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return batch

        def identity(self):
            return {"embedder": self.name}

    return Deadly()


@pytest.mark.slow
def test_workers_that_die_cost_only_the_clip_that_kills_them(local_ray, tmp_path):
    for number in range(12):
        harness.save(tmp_path / "in" / f"{number:02d}.mp4", harness.steady(6, seed=number))
    harness.save(tmp_path / "in" / "05.mp4", [np.zeros((32, 32, 3), np.uint8)] * 6)
    rows, _ = corpora.make(tmp_path / "in", tmp_path / "out", 2, embedder=deadly())
    assert [row["path"] for row in rows] == list_clips(tmp_path / "in")[1]
    assert [row["path"] for row in rows if row["status"] == FAILED] == ["05.mp4"]
    assert "its worker died on it twice" in str(rows[5]["reason"])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_stopped_goes_on_where_it_was(how, corpus, undisturbed, tmp_path):
    output = tmp_path / "out"
    command = [*harness.SPF, "corpus", str(corpus), str(output), *OPTIONS, "2"]
    process = harness.start(*command)
    while not list(output.glob("shard-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    folders, listening = seen(children)
    os.killpg(process.pid, how)  # as a terminal does
    _, errors = process.communicate(timeout=120)
    if how == signal.SIGINT and process.returncode != 1:  # 1: it had ended just before
        assert process.returncode == 130
        assert "interrupted" in harness.check_one_line(errors)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert listening
    assert all(ipaddress.ip_address(x.removeprefix("::ffff:")).is_loopback for x in listening)
    (folder,) = folders
    assert Path(folder).exists() == (how == signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    there = {path: path.stat().st_mtime_ns for path in output.glob("shard-*")}
    done = harness.command(*command, timeout=300)
    assert done.returncode == 1, done.stderr  # some clips cannot be read
    assert f"{5 * len(there)} of them finished" in done.stdout or len(there) == 5
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert corpora.contents(output) == corpora.contents(undisturbed)


def seen(processes):
    folders = set()
    listening = set()
    for process in processes:
        with suppress(psutil.Error):  # it has ended
            folders |= set(re.findall(r"/tmp/spf-ray-\w+", " ".join(process.cmdline())))
            found = process.net_connections("inet")
            listening |= {x.laddr.ip for x in found if x.status == psutil.CONN_LISTEN}
    return folders, listening
