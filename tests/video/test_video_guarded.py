"""Reading in a process of its own: the same frames, and nothing that the process does escapes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import encode, one_line

from spf.child import LINE
from spf.errors import ClipError, ConfigError
from spf.video import GuardedReader, Reader, Sampling
from spf.video.guarded import end_idle


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return encode(tmp_path / "a.mp4", clips.noise(12))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(3, 4, start=0.1)])
def test_same_frames_times_and_notes(clip, tmp_path, sampling):
    damaged = clips.damage(clip, tmp_path / "bad.mp4", 0.5, 400)
    for path in (clip, damaged):
        with Reader(path, sampling) as plain, GuardedReader(path, sampling) as guarded:
            assert guarded.info == plain.info
            ours, theirs = list(guarded), list(plain)
        assert [at for _, at in ours] == [at for _, at in theirs]
        assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(ours, theirs, strict=True))
        assert (guarded.notes, guarded.lost) == (plain.notes, plain.lost)
        assert guarded.decoded == plain.decoded
    with pytest.raises(ConfigError, match="no video stream 3"):
        GuardedReader(clip, Sampling(stream=3))


def test_memory_is_bounded(clip, tmp_path):
    black = [np.zeros((4320, 7680, 3), np.uint8)] * 2
    large = encode(tmp_path / "8k.avi", black, "mpeg4")
    bound = 450 * 2**20
    with GuardedReader(clip, memory=bound) as reader:
        assert len(list(reader)) == 12
    with pytest.raises(ClipError) as error, GuardedReader(large, memory=bound) as reader:
        list(reader)
    assert "ran out of memory" in one_line(error)
    assert "damaged" not in error.value.reason
    with GuardedReader(large) as reader:
        assert len(list(reader)) == 2


def test_what_a_child_sends_is_not_trusted(clip, monkeypatch):
    """A decoder that was taken over, or a library that prints between the frames."""
    sent = {
        b'{"info": 1}\n[3]\n': "sent what is no reply",
        b"not json\n": "sent what is no reply",
        b"[" * 5000 + b"\n": "sent what is no reply",
        b"x" * (LINE + 5000): "sent a line without an end",
        b'{"frame": [100000, 100000, 3], "time": 0, "decoded": 1}\n': "a frame of another size",
    }
    for data, why in sent.items():
        with GuardedReader(clip) as reader:
            assert reader._decoder is not None
            reader._decoder._rest = data
            with pytest.raises(ClipError, match=why) as error:
                list(reader)
            one_line(error)


def test_a_large_frame_is_refused_by_the_parent_too(clip, monkeypatch):
    monkeypatch.setattr("spf.video.clip.MAX_PIXELS", 64 * 48)
    end_idle()
    with pytest.raises(ClipError, match="too large"):  # the child has the true bound
        GuardedReader(clip)


def test_a_decoder_that_never_ends_is_stopped(clip, monkeypatch):
    monkeypatch.setattr("spf.video.guarded.ENOUGH", 1e-6)
    end_idle()
    with pytest.raises(ClipError) as error, GuardedReader(clip) as reader:
        list(reader)
    assert "took more than 1e-06 s" in one_line(error)


def test_relative_names_and_a_folder_that_looks_like_modules(clip, monkeypatch):
    end_idle()
    for module in ("json", "numpy", "spf"):
        (clip.parent / f"{module}.py").write_text("raise SystemExit('not me')")
    monkeypatch.chdir(clip.parent)
    with GuardedReader("a.mp4") as reader:
        assert reader.info.path == Path("a.mp4")
        assert len(list(reader)) == 12


def test_the_process_ends_with_its_parent(clip):
    script = (
        "import sys, time; from spf.video import GuardedReader\n"
        "reader = GuardedReader(sys.argv[1]); next(reader)\n"
        "print(reader._decoder.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(clip)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = Path("/proc") / parent.stdout.readline().decode().strip()
    assert child.exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20.0
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the decoder outlives its parent"
        time.sleep(0.05)
