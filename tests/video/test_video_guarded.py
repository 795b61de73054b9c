"""Reading in a process of its own: the same frames, and nothing that the process does escapes."""

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


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return encode(tmp_path_factory.mktemp("clips") / "a.mp4", clips.noise(12))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(3, 4, start=0.1)])
def test_same_frames_times_and_notes(clip, tmp_path, sampling):
    for path in (clip, clips.damage(clip, tmp_path / "bad.mp4", 0.5, 400)):
        with Reader(path, sampling) as plain, GuardedReader(path, sampling) as guarded:
            assert guarded.info == plain.info
            for (ours, at), (theirs, same) in zip(guarded, plain, strict=True):
                assert at == same
                assert np.array_equal(ours, theirs)
        for name in ("notes", "lost", "decoded"):
            assert getattr(guarded, name) == getattr(plain, name)
    with pytest.raises(ConfigError, match="no video stream 3"):
        GuardedReader(clip, Sampling(stream=3))


def test_memory_is_bounded(clip, tmp_path, monkeypatch):
    black = [np.zeros((4320, 7680, 3), np.uint8)]
    large = encode(tmp_path / "8k.avi", black, "mpeg4")
    end_idle()
    with monkeypatch.context() as bounded:
        bounded.setattr("spf.video.guarded.MEMORY", 450 * 2**20)
        with GuardedReader(clip) as reader:
            assert len(list(reader)) == 12
        with pytest.raises(ClipError) as error, GuardedReader(large) as reader:
            list(reader)
    assert "ran out of memory" in one_line(error)
    assert "damaged" not in error.value.reason
    end_idle()
    with GuardedReader(large) as reader:
        assert len(list(reader)) == 1


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        pytest.param(b'{"info": 1}\n[3]\n', "sent what is no reply", id="json"),
        pytest.param(b'{"clip_error": [1]}\n', "sent what is no reply", id="error"),
        pytest.param(b"[" * 5000 + b"\n", "sent what is no reply", id="nested"),
        pytest.param(b"x" * (LINE + 5000), "sent a line without an end", id="endless"),
        pytest.param(
            b'{"frame": [100000, 100000, 3], "time": 0, "decoded": 1}\n',
            "a frame of another size",
            id="large",
        ),
    ],
)
def test_what_a_child_sends_is_not_trusted(clip, sent, why):
    """A decoder that was taken over, or a library that prints between the frames."""
    with GuardedReader(clip) as reader:
        reader._decoder._rest = sent
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
    words = [sys.executable, "-c", script, str(clip)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as parent:
        child = Path("/proc") / parent.stdout.readline().decode().strip()
        assert child.exists()
        parent.kill()
    deadline = time.monotonic() + 20.0
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the decoder outlives its parent"
        time.sleep(0.05)
