import os
import re
from pathlib import Path

import clips
import harness
import pandas as pd
import pytest

from spf.errors import ConfigError

pytestmark = pytest.mark.usefixtures("no_plots")


def cut(path, **more):
    options = {"crf": "20", "bf": "0", "g": "4"}
    whole = path.with_name("whole.mov")
    clips.encode(whole, clips.noise(24), rate=12, options=options, **more)
    clips.cut(whole, path, 0.5)
    whole.unlink()


def broken_images(path):
    path.with_suffix("").mkdir()
    for k in range(3):
        (path.with_suffix("") / f"{k}.png").write_bytes(b"\x89PNG\r\n\x1a\n junk")


# What is made in place of a clip, and what its reason must say.
BAD = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "cut": (cut, "index"),
    "text": (lambda path: path.write_text("not a video, but prose\n" * 50), "not a video"),
    "frame": (lambda path: harness.save(path, harness.steady(2)[:1]), "1 frame"),
    "dangling": (lambda path: path.symlink_to("nowhere.mp4"), "no such file"),
    "circle": (lambda path: path.symlink_to(path.name), "cannot be opened"),
    "images": (broken_images, "decoded"),
    "pipe": (lambda path: os.mkfifo(path), "not a file"),
}


def test_bad_clips_fail_their_own_rows(tmp_path):
    made = {"good": {"fine": harness.steady()}, "ill": {"fine": harness.steady()}}
    folder = harness.layout(tmp_path / "clips", made)
    for kind, (make, _) in BAD.items():
        make(folder / "ill" / f"{kind}.mp4")
    harness.save(folder / "ill" / "two.mp4", harness.steady(2))
    cut(folder / "ill" / "lost.mp4", container_options={"movflags": "+faststart"})
    (folder / "frames" / "pair0").mkdir(parents=True)  # would be a folder of images
    # files of others and hidden ones are passed over
    harness.touch(folder, "notes.txt", "ill/prompts.json", "ill/._fine.mp4", ".cache/fine.mp4")
    run = harness.run(folder, tmp_path / "out", "embedder=histogram")
    assert run.code == 1
    page = run.folder.read("index.html").decode()
    table = harness.read_records(run.folder.root).set_index(["model", "clip"]).sort_index()
    assert len(table) == len(BAD) + 5
    assert "holds no clips" in table.loc["frames"]["reason"].item()
    for kind, (_, part) in BAD.items():
        row = table.loc["ill", kind]
        assert (row["status"], pd.isna(row["linearity_mae"])) == ("failed", True)
        for text in (part, "ill", kind, ";"):  # names the file, and the remedy
            assert text in row["reason"]
        assert not re.search("unexpected|Errno|\n", row["reason"])
        assert part in page
    for key in (("good", "fine"), ("ill", "fine"), ("ill", "two"), ("ill", "lost")):
        assert table.loc[key, "status"] == "done"
    # The index is at the front and survives, half of the frames do not.
    lost = table.loc["ill", "lost"]
    assert 2 < lost["frames"] < 24
    assert f"{24 - lost['frames']:.0f}" in lost["notes"]
    board = pd.read_csv(run.folder.root / "leaderboard.csv").set_index("generator")
    assert board.loc["ill", "too_short"] == 1  # two frames are measured and have no rank


FOLDERS = {
    "nowhere": lambda folder: None,
    "file": lambda folder: folder.write_text("x"),
    "clips directly": lambda folder: harness.touch(folder, "pair.mp4"),
    "empty folders": lambda folder: (folder / "generator").mkdir(parents=True),
}


@pytest.mark.parametrize("make", FOLDERS.values(), ids=FOLDERS)
def test_folders_that_hold_no_clips(make, tmp_path):
    make(folder := tmp_path / "clips")
    with pytest.raises(ConfigError) as error:
        harness.run(folder, tmp_path / "out")
    assert str(folder) in harness.check_one_line(str(error.value))
    assert not (tmp_path / "out").exists()


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    """Root may read everything, so the refusal is simulated."""
    folder = harness.two_generators(tmp_path / "clips", 1)
    original = Path.iterdir

    def iterdir(path):
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    closed = folder / "jumpy"
    run = harness.run(folder, tmp_path / "out", "embedder=histogram")
    assert run.code == 1
    assert [record["status"] for record in run.results.records] == ["done", "failed"]
    assert "permissions" in harness.check_one_line(run.results.records[1]["reason"])
    closed = folder
    with pytest.raises(ConfigError, match="permissions"):
        harness.run(folder, tmp_path / "out")
