"""Inputs that people really have, drawn through ffmpeg, each with what is right."""

from functools import cache

import ffmpeg
import harness
import numpy as np
import pytest

from spf.embedders import load_embedder
from spf.measurement import measure_clip
from spf.progress.metrics import FLICKER, NO_CHANGE, unranked_reason
from spf.video import load
from synthetic.clips import content

pytestmark = ffmpeg.needed

X264 = "-c:v libx264 -crf 14 -pix_fmt yuv420p"


@cache
def scene(count: int) -> list[np.ndarray]:
    """A composition from one landscape to another, at an even pace."""
    paint = content("composition-meadow-city").painter((64, 64))
    return [paint(u) for u in np.linspace(0, 1, count)]


@pytest.mark.parametrize("codec", ["libvpx -b:v 2M -auto-alt-ref 0", "libvpx-vp9 -crf 10 -b:v 0"])
def test_transparency_is_shown_over_black(codec, tmp_path):
    """In the corner white is stored under it."""
    alpha = np.full((64, 64, 1), 200, np.uint8)
    alpha[:8, :8] = 0
    white = np.dstack([np.full((64, 64, 3), 255, np.uint8), alpha])
    options = f"-c:v {codec} -pix_fmt yuva420p"
    frames = load(ffmpeg.encode(tmp_path / "a.webm", [white] * 12, options)).frames
    assert frames[:, :8, :8].mean() < 8
    assert frames[:, 16:, 16:].mean() > 180


@pytest.mark.parametrize(("number", "name"), [(8, "YCgCo"), (10, "BT.2020 constant luminance")])
def test_an_unknown_matrix_of_colours_is_noted(number, name, tmp_path):
    """By its number in H.273."""
    tags = f"h264_metadata=matrix_coefficients={number}:colour_primaries=9"
    (note,) = load(ffmpeg.encode(tmp_path / "a.mp4", scene(6), f"{X264} -bsf:v {tags}")).notes
    assert note == f"its colour matrix ({name}) cannot be converted: BT.2020 assumed"


def test_a_clip_that_turns_midway_keeps_its_aspect(tmp_path):
    whole = b""
    for start, (height, width) in enumerate(((36, 64), (64, 36))):
        part = [image[:height, :width] for image in scene(24)]
        options = f"-c:v libx264 -bf 0 -pix_fmt yuv420p -output_ts_offset {start}"
        whole += ffmpeg.encode(tmp_path / "part.ts", part, options, 24).read_bytes()
    (tmp_path / "turned.ts").write_bytes(whole)
    clip = load(tmp_path / "turned.ts")
    assert not clip.frames[-1][:, :8].any()  # bars
    assert any("its size changes from" in note for note in clip.notes)


@pytest.mark.parametrize("rate", ["30", "60", "on twos"])
def test_repeats_are_noted_and_do_not_count(rate, tmp_path):
    """No false jump, and the distinct frames do not stall."""
    frames = [scene(49)[i // 2 * 2] for i in range(49)] if rate == "on twos" else scene(49)
    resampled = "" if rate == "on twos" else f"-vf fps={rate}:round=near "
    path = ffmpeg.encode(tmp_path / "a.mp4", frames, resampled + X264, 24)
    found = measure_clip(path, load_embedder("tiny"))
    assert "repeat the one before" in " ".join(found.embeddings.notes)
    assert found.distinct_scores["stall_fraction_distinct"] < 0.05
    assert found.named_stretches == []


def test_repeats_change_no_kind():
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


STILL = [16] * 40
SHOWN = {  # frames of `scene(48)`; of stills, whatever residue the encoder leaves
    "strobe.mp4": ([i % 2 * 47 for i in range(48)], X264),
    "strobe-3.mp4": ([i // 3 % 2 * 47 for i in range(48)], X264),
    "x264-g25.mp4": (STILL, "-c:v libx264 -g 25 -crf 30 -pix_fmt yuv420p"),
    "vp9.webm": (STILL, "-c:v libvpx-vp9 -b:v 200k -pix_fmt yuv420p"),
    "mpeg4.mp4": (STILL, "-c:v mpeg4 -q:v 6 -pix_fmt yuv420p"),
    "mjpeg.avi": (STILL, "-c:v mjpeg -pix_fmt yuvj420p"),
}


@pytest.mark.parametrize(
    "embedder", ["tiny", "histogram", pytest.param("efficientnet", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", SHOWN)
def test_strobes_and_stills_have_no_pacing(name, embedder, tmp_path):
    shown, options = SHOWN[name]
    path = ffmpeg.encode(tmp_path / name, [scene(48)[i] for i in shown], options, 24)
    found = measure_clip(path, load_embedder(embedder))
    assert unranked_reason(found.curve) == (NO_CHANGE if shown == STILL else FLICKER)
    assert shown != STILL or found.named_stretches == []
