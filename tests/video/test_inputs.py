"""Inputs that people really have, drawn through ffmpeg, each with what is right."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import ffmpeg
import harness
import numpy as np
import pytest

from spf.embedders import load_embedder
from spf.measurement import Measurement, measure_clip
from spf.progress.metrics import FLICKER, NO_CHANGE, unranked_reason
from spf.video import load
from synthetic.clips import content

pytestmark = ffmpeg.needed

EVERY = ["tiny", "histogram", pytest.param("efficientnet", marks=pytest.mark.slow)]
X264 = "-c:v libx264 -crf 14 -pix_fmt yuv420p"


@cache
def scene(count: int) -> list[np.ndarray]:
    """A composition from one landscape to another, at an even pace."""
    paint = content("composition-meadow-city").painter((64, 64))
    return [paint(u) for u in np.linspace(0, 1, count)]


def measured(path: Path, embedder: str = "tiny") -> Measurement:
    return measure_clip(path, load_embedder(embedder))


@pytest.mark.parametrize(
    "options",
    [
        "-c:v libvpx -pix_fmt yuva420p -b:v 2M -auto-alt-ref 0",
        "-c:v libvpx-vp9 -pix_fmt yuva420p -crf 10 -b:v 0",
    ],
)
def test_transparency_is_shown_over_black(options: str, tmp_path: Path) -> None:
    """In the corner white is stored under it."""
    alpha = np.full((64, 64, 1), 200, np.uint8)
    alpha[:8, :8] = 0
    white = np.dstack([np.full((64, 64, 3), 255, np.uint8), alpha])
    frames = load(ffmpeg.encode(tmp_path / "clip.webm", [white] * 12, options)).frames
    assert frames[:, :8, :8].mean() < 8
    assert frames[:, 16:, 16:].mean() > 180


@pytest.mark.parametrize(
    ("number", "named"),
    [(8, "YCgCo"), (14, "ICtCp"), (12, "chroma-derived"), (10, "BT.2020 constant luminance")],
)
def test_a_matrix_of_colours_that_is_not_known_is_named(
    number: int, named: str, tmp_path: Path
) -> None:
    """By its number in H.273."""
    tags = f"h264_metadata=matrix_coefficients={number}:colour_primaries=9"
    path = ffmpeg.encode(tmp_path / "clip.mp4", scene(6), f"{X264} -bsf:v {tags}")
    (note,) = load(path).notes
    assert named in note
    assert "assumed" in note


def test_a_stream_without_times_is_25_frames_per_second(tmp_path: Path) -> None:
    clip = load(ffmpeg.encode(tmp_path / "clip.mjpeg", scene(50), "-c:v mjpeg -q:v 3"))
    assert len(clip.frames) == 50
    assert "25 frames per second assumed" in " ".join(clip.notes)


def test_a_clip_that_turns_midway_keeps_its_aspect(tmp_path: Path) -> None:
    whole = b""
    for start, (height, width) in enumerate(((36, 64), (64, 36))):
        part = [image[:height, :width] for image in scene(24)]
        options = f"-c:v libx264 -bf 0 -pix_fmt yuv420p -output_ts_offset {start}"
        whole += ffmpeg.encode(tmp_path / "part.ts", part, options, 24).read_bytes()
    (tmp_path / "turned.ts").write_bytes(whole)
    clip = load(tmp_path / "turned.ts")
    assert not clip.frames[-1][:, :8].any()  # bars
    assert any("its size changes from" in note for note in clip.notes)


@pytest.mark.parametrize("rate", ["30", "60", "on twos", "on fours"])
def test_repeats_are_said_and_counted_out(rate: str, tmp_path: Path) -> None:
    """No false jump, and the distinct frames do not stall."""
    hold = {"on twos": 2, "on fours": 4}.get(rate, 1)
    shown = [scene(49)[i // hold * hold] for i in range(49)]
    resampled = f"-vf fps={rate}:round=near " if hold == 1 else ""
    found = measured(ffmpeg.encode(tmp_path / "clip.mp4", shown, resampled + X264, 24))
    assert "repeat the one before" in " ".join(found.embeddings.notes)
    assert found.distinct_scores["stall_fraction_distinct"] < 0.05
    assert found.named_stretches == []


def test_repeats_change_no_kind() -> None:
    """A step of 0.6 rad is a jump where a cut needs 0.8, shown once a frame or twice."""

    class Fixed(harness.Linear):
        cut_angle = 0.8

        def encode(self, batch: np.ndarray) -> np.ndarray:
            angle = batch[:, 0] / 255.0
            return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    levels = np.r_[np.arange(40), 40 + 153 + np.arange(40)].astype(np.uint8)  # 153 / 255 = 0.6
    frames = np.broadcast_to(levels[:, None, None, None], (80, 8, 8, 3))
    for shown in (frames, frames.repeat(2, axis=0)):
        found = measure_clip(shown, Fixed())
        assert found.repeats.sum() == len(shown) - 80
        assert found.curve.cuts == []
        assert {part.kind for part in found.named_stretches} == {"jump"}


def test_a_loop_has_its_cuts(tmp_path: Path) -> None:
    path = ffmpeg.encode(tmp_path / "loop.mp4", scene(48)[::3] * 3, X264, 24)
    named = [(part.kind, part.start) for part in measured(path).named_stretches]
    assert [start for kind, start in named if kind == "cut"] == [15, 31]


@pytest.mark.parametrize("embedder", EVERY)
@pytest.mark.parametrize("hold", [1, 3])
def test_a_strobe_flickers(hold: int, embedder: str, tmp_path: Path) -> None:
    frames = [scene(48)[i // hold % 2 * 47] for i in range(48)]
    path = ffmpeg.encode(tmp_path / "strobe.mp4", frames, X264, 24)
    assert unranked_reason(measured(path, embedder).curve) == FLICKER


@pytest.mark.parametrize("embedder", EVERY)
@pytest.mark.parametrize(
    ("name", "options"),
    {
        "x264.mp4": "-c:v libx264 -pix_fmt yuv420p",
        "x264-g25.mp4": "-c:v libx264 -g 25 -crf 30 -pix_fmt yuv420p",
        "vp9.webm": "-c:v libvpx-vp9 -b:v 200k -pix_fmt yuv420p",
        "mpeg4.mp4": "-c:v mpeg4 -q:v 6 -pix_fmt yuv420p",
        "mjpeg.avi": "-c:v mjpeg -pix_fmt yuvj420p",
    }.items(),
)
def test_an_encoded_still_has_no_pacing(
    name: str, options: str, embedder: str, tmp_path: Path
) -> None:
    """Whatever residue an encoder leaves: in bursts at keyframes, or as it refines the picture."""
    found = measured(ffmpeg.encode(tmp_path / name, [scene(10)[3]] * 40, options), embedder)
    assert unranked_reason(found.curve) == NO_CHANGE
    assert found.named_stretches == []
