"""`spf analyze`: cards, tables, rows, plots, and clips that fail."""

import re
from pathlib import Path

import clips
import harness
import pytest
import spf_command
from PIL import Image
from spf_command import PIXELS

from spf.cli import main
from spf.video import write_png
from synthetic.clips import SyntheticClip, content
from synthetic.laws import law


def rendered(path, name, **parameters):
    """A clip of 4 seconds at 12 frames a second, with the pacing of a law."""
    pair = content("cat-motorcycle-dissolve")
    made = SyntheticClip(pair, law(name, **parameters), num_frames=49, size=(48, 48), fps=12.0)
    return str(harness.save(path, list(made.frames()), rate=12))


def test_analyze_names_dead_stretches_and_jumps(tmp_path, capsys):
    dead = rendered(tmp_path / "dead.mp4", "plateau", start=0.5, stop=0.75)
    jump = rendered(tmp_path / "jump.mp4", "sigmoid_jump", place=0.25, steepness=60)
    even = rendered(tmp_path / "even.mp4", "linear")
    rows = spf_command.rows(capsys, "analyze", dead, jump, even, *PIXELS)
    (plateau,), named, none = (row["stretches"] for row in rows)
    assert (plateau["kind"], none) == ("dead", [])
    assert (plateau["start_time"], plateau["stop_time"]) == pytest.approx((2.0, 3.0), abs=0.2)
    (leap,) = (part for part in named if part["kind"] == "jump")
    assert 0.6 < leap["start_time"] < 1.0 < leap["stop_time"] < 1.4
    assert leap["change"] > 0.7
    tail = [part for part in named if part["kind"] == "dead"][-1]
    assert tail["stop_time"] == pytest.approx(4.0, abs=0.1)
    assert not list(tmp_path.glob("*.png"))
    named = r"dead stretch +from [12]\.\d+ to [23]\.\d+ "
    leaps = r"jump +from 0\.\d+ to 1\.\d+ .*: \d+% of the change"
    nothing = r"no dead stretch and no jump worth naming\n"
    # Half of progress u ** 1.8 is from u = 0.5 ** (1 / 1.8) on, 1.36 s; the fit is smoother.
    slow = harness.save(tmp_path / "slow.mp4", harness.steady(25, power=1.8))
    late = r"worth naming; half of the change takes 0\.6\d of 2\.00 s, from 1\.3\d to 1\.97\n"
    for clip, line in ((dead, named), (jump, leaps), (even, nothing), (slow, late)):
        card = spf_command.printed(capsys, "analyze", clip, *PIXELS, "--no-plot")
        assert re.search(line, card)


def test_analyze_prints_a_card_and_draws(tmp_path, capsys):
    clip = harness.save(tmp_path / "in" / "clip.mp4", harness.jumping())
    out = tmp_path / "made" / "plots"
    words = ("analyze", clip, "--embedder", "tiny")
    card = spf_command.printed(capsys, *words, "--out", out)
    assert card.startswith("embedder: tiny (shipped); trained on rendered images alone")
    assert "12 frames, 0.92 s" in card
    (row,) = spf_command.rows(capsys, *words)
    for metric in ("linearity_mae", "peak_speed", "total_change"):
        assert re.search(rf"{metric} +{row[metric]:.4f}", card)
    assert "nan" not in card.lower()
    assert Image.open(out / "clip.mp4.spf.png").format == "PNG"
    assert str(out / "clip.mp4.spf.png") in card
    assert list((tmp_path / "in").iterdir()) == [clip]


def test_several_clips_are_a_table_with_the_most_uneven_first(tmp_path, capsys):
    harness.save(tmp_path / "even.mp4", harness.steady(25))
    harness.save(tmp_path / "jumpy.mp4", harness.jumping(25))
    harness.save(tmp_path / "still.mp4", harness.still(25))
    (tmp_path / "empty.mp4").write_bytes(b"")
    stems = ["gone", "even", "empty", "still", "jumpy"]
    words = [*(str(tmp_path / f"{name}.mp4") for name in stems), *PIXELS, "--no-plot"]
    assert main(["analyze", *words]) == 1
    output, errors = capsys.readouterr()
    gone, empty = (line for line in errors.splitlines() if line.strip())
    assert "gone.mp4: there is no such file" in gone
    assert "empty.mp4: the file is empty" in empty
    assert re.findall(r"^(\w+)\.mp4 ", output, re.MULTILINE) == ["jumpy", "even", "still"]
    assert re.search(r"^jumpy\.mp4 .*; 2 more stretches$", output, re.MULTILINE)
    assert re.search(r"^still\.mp4 +- +- +- +no semantic change", output, re.MULTILINE)
    assert output.count("embedder") == 1
    assert output.endswith("3 of 5 clips measured\n")
    rows = spf_command.rows(capsys, "analyze", *words, code=1)
    assert [Path(row["clip"]).stem for row in rows] == stems
    assert [row["status"] for row in rows] == ["failed", "done", "failed", "done", "done"]
    assert [row["linearity_mae"] is None for row in rows] == [True, False, True, True, False]
    assert rows[3]["reason"] == "no semantic change"


def test_one_clip_ends_analyze_for_no_other(tmp_path, capsys):
    long = harness.save(tmp_path / "clips" / f"{'a' * 248}.mp4", harness.steady())
    other = harness.save(tmp_path / "clips" / "b.mp4", harness.steady())
    words = [str(tmp_path / "clips"), *PIXELS]
    rows = spf_command.rows(capsys, "analyze", *words, "--out", str(tmp_path / "plots"), code=1)
    found = [(row["clip"], row["status"], bool(row["plot"])) for row in rows]
    assert found == [(str(long), "done", False), (str(other), "done", True)]
    long.unlink()
    streams = [clips.grey(9, 96, 128)]
    two = clips.encode(tmp_path / "clips" / "c.mp4", clips.grey(6), streams=streams)
    rows = spf_command.rows(capsys, "analyze", *words, "--stream", "1", code=1)
    found = [(row["clip"], row["status"], row["frames"]) for row in rows]
    assert found == [(str(other), "failed", None), (str(two), "done", 9)]
    assert "no video stream 1" in rows[0]["reason"]
    assert "this is video stream 1 (from 0) of 2; --stream takes another" in rows[1]["notes"]


def test_analyze_measures_the_clips_of_a_folder(tmp_path, capsys, monkeypatch):
    titles = []
    plot = "spf.figures.plot_measurement"
    monkeypatch.setattr(plot, lambda _, title, *more: titles.append(title) or b"")
    harness.save(tmp_path / "clips" / "b" / "video.mp4", harness.steady(7))
    harness.save(tmp_path / "clips" / "video.mp4", harness.steady(8))
    write_png(tmp_path / "clips" / "a" / "frames", harness.steady(5))
    Image.fromarray(harness.picture(0)).save(tmp_path / "clips" / "0.png")
    harness.touch(tmp_path / "clips", "notes.txt", ".hidden.mp4", "b/.hidden/x.mp4")
    folder, out = f"{tmp_path}/clips/", tmp_path / "plots"
    rows = spf_command.rows(capsys, "analyze", folder, *PIXELS, "--out", str(out))
    wanted = [("a/frames", 5, True), ("b/video.mp4", 7, False), ("video.mp4", 8, False)]
    found = [(row["clip"], row["frames"], row["duration"] is None) for row in rows]
    assert found == [(f"{folder}{name}", *more) for name, *more in wanted]
    assert titles == ["frames", "b/video.mp4", "clips/video.mp4"]
    named = {f"{title.replace('/', '-')}.spf.png" for title in titles}
    assert {path.name for path in out.iterdir()} == named
    words = ("analyze", f"{folder}a/frames", *PIXELS, "--no-plot")
    assert "frames: 5 frames, no frame rate" in spf_command.printed(capsys, *words)
    (tmp_path / "empty").mkdir()
    assert main(["analyze", folder, f"{tmp_path}/empty", *PIXELS, "--no-plot"]) == 1
    output, errors = capsys.readouterr()
    assert output.endswith("3 of 4 clips measured\n")
    assert "empty: the folder holds no images" in errors


def test_analyze_obeys_its_sampling(tmp_path, capsys):
    clip = str(harness.save(tmp_path / "clip.mp4", harness.steady(24)))
    for words, frames in {"stride 3": 8, "max-frames 5": 5, "start 1": 12, "end 0.5": 6}.items():
        (row,) = spf_command.rows(capsys, "analyze", clip, *PIXELS, *f"--{words}".split())
        assert row["frames"] == frames


def test_what_camera_motion_explains_stands_beside_the_plain_curve(tmp_path, capsys):
    wide = harness.picture(5, 256)[:96]
    pan = harness.save(tmp_path / "pan.mp4", [wide[:, x : x + 96] for x in range(30)])
    words, camera = ["analyze", pan, "--embedder", "tiny", "--no-plot"], ["--nuisance", "camera"]
    (plain,) = spf_command.rows(capsys, *words)
    (row,) = spf_command.rows(capsys, *words, *camera)
    assert {name: row[name] for name in plain} == plain
    assert set(row) - set(plain) == {"linearity_mae_corrected", "motion_share"}
    assert row["motion_share"] > 2 / 3
    card = spf_command.printed(capsys, *words, *camera)
    assert f"camera motion explains {row['motion_share']:.0%} of the change" in card
    assert "trust the plain curve" in card
    assert ("no semantic change" in card) == (row["linearity_mae_corrected"] is None)
    gate = ["check", *words[1:4], "--max-motion-share", "0.5"]
    spf_command.printed(capsys, *gate, *camera, code=1)
    assert "give --nuisance camera" in spf_command.refused(capsys, *gate)
    line = spf_command.refused(capsys, "analyze", "nothing.mp4", "--nuisance", "camra")
    assert "did you mean camera" in line
