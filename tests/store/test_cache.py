"""Embeddings that are cached: found again only if nothing changed, whole, bounded and shared."""

import dataclasses
import errno
import os
import signal
import sys
from pathlib import Path
from unittest.mock import Mock

import harness
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import spf
from spf import cache
from spf.cache import Cache, user_cache
from spf.cli import main
from spf.embedders import load_embedder
from spf.embedders.histogram import Histogram
from spf.measurement import measure_clip
from spf.store import MANIFEST
from spf.video import Sampling


@pytest.fixture
def clip(tmp_path):
    return harness.save(tmp_path / "clip.mp4", harness.jumping())


def image_folder(folder):
    """Images without a rate, one of them broken: indices for times, and a note."""
    folder.mkdir()
    for number, frame in enumerate(harness.steady()):
        Image.fromarray(frame).save(folder / f"{number}.png")
    (folder / "5.png").write_bytes(b"\x89PNG\r\n\x1a\n junk")
    return folder


def measured(source, **more):
    settings = {"embedder": load_embedder("histogram"), "cache": user_cache()} | more
    return measure_clip(source, **settings)


def forbid_decoding(monkeypatch):
    opened = Mock(side_effect=spf.ClipError("", "it was opened", "leave it closed"))
    monkeypatch.setattr("spf.video.reader._open", opened)


def check_same(first, second):
    for part in ("embeddings", "thumbnails", "curve"):
        for field in dataclasses.fields(getattr(first, part)):
            one, other = (getattr(getattr(x, part), field.name) for x in (first, second))
            assert type(one) is type(other), field.name
            np.testing.assert_equal(one, other)
            assert getattr(one, "dtype", None) == getattr(other, "dtype", None)


@pytest.mark.parametrize("kind", ["video", "folder", "camera"])
def test_the_second_time_nothing_is_decoded(kind, clip, tmp_path, monkeypatch):
    source = image_folder(tmp_path / "images") if kind == "folder" else clip
    more = {"nuisance": "camera"} if kind == "camera" else {}
    cold = measured(source, **more)
    forbid_decoding(monkeypatch)
    warm = measured(source, on_frame=lambda *_: pytest.fail("a frame was decoded"), **more)
    assert (cold.cached, warm.cached) == (False, True)
    check_same(cold, warm)
    with pytest.raises(spf.ClipError, match="opened"):
        measured(source, cache=None)


def test_frames_foreign_embedders_and_failures_are_not_cached(clip, tmp_path):
    class Mine(Histogram):
        pass

    frames = np.stack(harness.steady())
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    for _ in range(2):
        spf.embed(frames, "histogram")
        assert not measured(iter([(frames[0], 0.0), (frames[-1], 1.0)])).cached
        assert not measured(clip, embedder=harness.Linear()).cached
        assert not measured(clip, embedder=Mine()).cached
        with pytest.raises(spf.ClipError, match="not a video"):
            measured(bad)
    assert not list(user_cache().folder.iterdir())  # nor is a lock left


CHANGES = {
    "weights": (Histogram, "identity", lambda old: lambda self: old(self) | {"weights": "new"}),
    "library": (cache, "libraries", lambda old: lambda: old() | {"av": "another"}),
    "code": (cache, "code_hash", lambda _: lambda *_: "another"),
}
SAMPLING = {
    "stride": 2, "max_frames": 11, "start": 0.1, "end": 0.5, "stream": 0, "crop_bars": False,
}  # fmt: skip
SETTINGS = {name: {"sampling": Sampling(**{name: value})} for name, value in SAMPLING.items()}
SETTINGS |= {"embedder": {"embedder": load_embedder("pixels")}, "batch_size": {"batch_size": 5}}
SETTINGS |= {"colours": {"embedder": load_embedder("histogram", colours=5)}}
SETTINGS |= {name: {"nuisance": name} for name in ("camera", "light")}


@pytest.mark.parametrize("name", [*CHANGES, *SETTINGS])
def test_whatever_determines_the_vectors_is_part_of_the_key(name, clip, monkeypatch):
    assert {field.name for field in dataclasses.fields(Sampling)} == set(SAMPLING)
    measured(clip)
    assert measured(clip).cached
    if name in CHANGES:
        place, attribute, change = CHANGES[name]
        monkeypatch.setattr(place, attribute, change(getattr(place, attribute)))
    more = SETTINGS.get(name, {})
    assert not measured(clip, **more).cached
    assert measured(clip, **more).cached


def test_changed_bytes_miss(clip, tmp_path):
    measured(clip)
    before = clip.stat()
    *data, last = clip.read_bytes()
    with open(clip, "r+b") as file:
        file.write(bytes([*data, last ^ 1]))
    os.utime(clip, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not measured(clip).cached
    folder = image_folder(tmp_path / "images")
    measured(folder)
    (folder / "notes.txt").write_text("no image")
    assert measured(folder).cached
    (folder / "11.png").rename(folder / "12.png")
    assert not measured(folder).cached


@pytest.mark.parametrize("manifest", [False, True])
def test_a_damaged_entry_is_removed_and_made_again(manifest, clip, capsys):
    first = measured(clip)
    ((key, _),) = user_cache().entries()
    files = (user_cache().folder / key).iterdir()
    (path,) = (file for file in files if (file.name == MANIFEST) == manifest)
    data = path.read_bytes()
    flipped = data[:99] + bytes([data[99] ^ 16]) + data[100:]
    for damaged in (data[: len(data) // 2], data + b"x", flipped):
        path.write_bytes(damaged)
        again = measured(clip)
        assert f"{key} is damaged" in harness.check_one_line(capsys.readouterr().err)
        assert not again.cached
        check_same(again, first)
        assert measured(clip).cached


def test_the_least_recently_used_goes_first(tmp_path):
    sources = [harness.save(tmp_path / f"{n}.mp4", harness.steady(seed=n)) for n in range(4)]
    measured(sources[0])
    ((_, size),) = user_cache().entries()
    small = Cache(user_cache().folder.parent, int(3.5 * size))
    for age, source in enumerate(sources[:3]):
        measured(source, cache=small)
        for key, _ in small.entries():
            path = small.folder / key / MANIFEST
            os.utime(path, (path.stat().st_mtime - 1000 - age,) * 2)
    assert measured(sources[0], cache=small).cached  # the oldest is used once more
    assert not measured(sources[3], cache=small).cached
    assert sum(size for _, size in small.entries()) <= small.bound
    assert [measured(sources[n], cache=small).cached for n in (0, 2, 3, 1)] == [True] * 3 + [False]


@pytest.mark.parametrize("why", ["a file in its place", "no such place", "lock", "write"])
def test_a_folder_that_refuses_costs_one_line(why, tmp_path, monkeypatch, capsys):
    refuse = Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    (tmp_path / "file").write_text("")
    if why in ("lock", "write"):
        place = {"lock": "FileLock.acquire", "write": "_write"}[why]
        monkeypatch.setattr(f"spf.store.{place}", refuse)
    else:
        place = {"no such place": "/proc/spf"}.get(why, str(tmp_path / "file"))
        monkeypatch.setenv("SPF_CACHE_DIR", place)
    refusing = user_cache()
    for seed in range(2):
        clip = harness.save(tmp_path / f"{seed}.mp4", harness.steady(seed=seed))
        assert not measured(clip, cache=refusing).cached
    line = harness.check_one_line(capsys.readouterr().err)
    assert "going on without" in line
    assert str(refusing.folder) in line
    assert refusing.entries() == []


def test_the_environment_says_where_and_how_large(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for place, xdg, wanted in (
        ("~/mine", "/xdg", tmp_path / "mine"),
        ("", "/xdg", Path("/xdg/spf")),
        ("", "relative", tmp_path / ".cache" / "spf"),  # which its specification says to ignore
    ):
        monkeypatch.setenv("SPF_CACHE_DIR", place)
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        assert user_cache().folder == wanted / "embeddings"
    sizes = {"": 10 * 10**9, "0": 0, "500MB": 500_000_000, " 1.5 gb ": 1_500_000_000}
    for text, size in sizes.items():
        monkeypatch.setenv("SPF_CACHE_SIZE", text)
        assert user_cache().bound == size
    for text in ("much", "-1", "10GiB"):
        monkeypatch.setenv("SPF_CACHE_SIZE", text)
        with pytest.raises(spf.ConfigError, match="SPF_CACHE_SIZE"):
            spf.embed(clip, "histogram")
        spf.embed(clip, "histogram", cache=False)


# Embeds argv[1] when it is told to; a line in argv[2] says that it computed and did not wait.
PROCESS = """
import hashlib, sys, time
import spf, spf.measurement
original = spf.measurement.embed_clip
def embed_clip(*args):
    with open(sys.argv[2], "a") as file:
        file.write("computed\\n")
    time.sleep(float(sys.argv[3]))
    return original(*args)
spf.measurement.embed_clip = embed_clip
print("ready", flush=True)
sys.stdin.readline()
print(hashlib.sha256(spf.embed(sys.argv[1], "histogram").tobytes()).hexdigest())
"""


@pytest.fixture(autouse=True)
def _patience():
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("still waiting"))
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def ready(clip, log, seconds):
    return harness.start(sys.executable, "-c", PROCESS, str(clip), str(log), seconds, talk=True)


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_of_three_processes_one_computes(clip, tmp_path):
    running = [ready(clip, tmp_path / "log", "1") for _ in range(3)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        go(process)
    answers = [process.communicate(timeout=60) for process in running]
    assert {errors for _, errors in answers} == {""}
    assert len({output for output, _ in answers}) == 1
    assert (tmp_path / "log").read_text() == "computed\n"
    assert len(list(user_cache().folder.iterdir())) == 1


def test_ctrl_c_ends_the_waiting(clip, tmp_path):
    holder = ready(clip, tmp_path / "log", "999")
    go(holder)
    while not ((tmp_path / "log").exists() and (tmp_path / "log").read_text()):
        assert holder.poll() is None
    code = "import sys; from spf import store; store.WARN_AFTER = 0; "
    code += "H = ['--embedder', 'histogram']; "
    code += "from spf.cli import main; sys.exit(main(['analyze', sys.argv[1], '--no-plot', *H]))"
    process = harness.start(sys.executable, "-c", code, str(clip))
    assert "waiting for another process" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in harness.check_one_line(errors)
    assert len(list(user_cache().folder.glob("*.lock"))) == 1  # it is not the waiting one's
    holder.kill()
    holder.communicate()


def test_a_warm_leaderboard_decodes_nothing(tmp_path, monkeypatch):
    harness.without_plots(monkeypatch)
    folder = harness.two_generators(tmp_path / "clips", 1)
    cold = harness.run(folder, tmp_path / "cold", "embedder=histogram")
    forbid_decoding(monkeypatch)
    warm = harness.run(folder, tmp_path / "warm", "embedder=histogram")
    roots = [run.folder.root for run in (cold, warm)]
    assert (cold.code, warm.code, warm.results.reused) == (0, 0, 0)
    assert roots[0].name == roots[1].name
    assert harness.tables(roots[0]) == harness.tables(roots[1])
    for path in (roots[0] / "curves").rglob("*.csv"):
        assert path.read_bytes() == (roots[1] / path.relative_to(roots[0])).read_bytes()
    timings = [pd.read_parquet(root / "timings.parquet") for root in roots]
    assert [list(table["from_cache"]) for table in timings] == [[0.0] * 2, [1.0] * 2]
    assert "from_cache" not in harness.read_records(roots[1]).columns


def test_the_command_shows_and_clears(clip, capsys, monkeypatch):
    assert main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(str(user_cache().folder))
    assert [line.split()[1] for line in lines[1:]] == ["0", "0.0", "10.0"]
    assert not user_cache().folder.exists()  # to look changes nothing
    for embedder in ("histogram", "pixels"):
        assert main(["analyze", str(clip), "--no-plot", "--embedder", embedder]) == 0
    (user_cache().folder / "mine.txt").write_text("not the cache's")
    capsys.readouterr()
    for arguments, output in {
        "--embedder pixels": "entries  1\n",
        "": "entries  2\n",
        "--embedder siglip/b16-384": "entries  0\n",
        "--clear --embedder histogram": "removed 1 entries",
        "--clear": "removed 1 entries",
    }.items():
        assert main(["cache", *arguments.split()]) == 0
        assert output in capsys.readouterr().out
    assert [path.name for path in user_cache().folder.iterdir()] == ["mine.txt"]
    assert main(["cache", "--embedder", "pixel"]) == 2
    assert "did you mean pixels?" in harness.check_one_line(capsys.readouterr().err)
    monkeypatch.setenv("SPF_CACHE_SIZE", "much")
    for arguments in ("cache", f"analyze {clip} --no-plot"):
        assert main(arguments.split()) == 2
        assert "SPF_CACHE_SIZE" in harness.check_one_line(capsys.readouterr().err)
    assert main(["analyze", str(clip), "--no-plot", "--no-cache", "--embedder", "pixels"]) == 0
