import json
import os
import shlex
import struct
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import harness
import pandas as pd
import pytest

from benchmarks.harness import session
from benchmarks.harness.cells import Summary
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.report import trackers

wandb = pytest.importorskip("wandb")
from wandb.proto.wandb_internal_pb2 import Record  # noqa: E402


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path_factory):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("NETRC", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(home / name.lower()))
    monkeypatch.setenv("WANDB_SILENT", "true")
    harness.without_plots(monkeypatch)


def kinds(folder: Path, kind: str) -> list[Any]:
    """The records of one kind in an offline folder: its .wandb file has a header of 7 bytes, then
    LevelDB's log format: chunks (checksum 4, length 2, part 1, data) in blocks of 32 KiB, where
    part 1 is a whole record, and 2, 3 and 4 are its first, middle and last parts."""
    (file,) = folder.glob("*.wandb")
    data, place, parts, found = file.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        length, part = struct.unpack("<HB", data[place + 4 : place + 7])
        left = 32768 - place % 32768
        if part == 0 or left < 7:
            place += left
            continue
        place += 7 + length
        parts += data[place - length : place]
        if part in (1, 4):
            found.append(Record.FromString(parts))
            parts = b""
    return [getattr(one, kind) for one in found if one.WhichOneof("record_type") == kind]


def offline_folders(root: Path) -> list[Path]:
    return sorted((root / "wandb").glob("offline-run-*"))


def merged(*items: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in chain(*items):
        *above, last = item.nested_key or [item.key]
        place = found
        for key in above:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return found


def test_an_offline_run_holds_everything(tmp_path, capsys):
    clips = harness.two_generators(tmp_path / "clips")
    (clips / "even" / "bad.mp4").write_bytes(b"")
    words = harness.leaderboard_words(clips, tmp_path / "out", "embedder=pixels")
    run = session.run(harness.compose(*words, "logger=wandb"))
    assert run.code == 1
    assert "W&B (offline): wandb sync " in capsys.readouterr().err
    (folder,) = offline_folders(run.folder.root)
    started = kinds(folder, "run")[-1]
    assert (started.display_name, started.project) == (run.folder.root.name, "spf")
    config = merged(*(one.config.update for one in kinds(folder, "run")))
    assert config["model"]["path"] == str(clips)
    assert config["metrics"]["linearity_mae"] == "lower"
    found = {metric.name: metric.summary for metric in kinds(folder, "metric")}
    lower, higher = found["mean/linearity_mae"], found["mean/pacing_entropy"]
    assert (lower.min, lower.max, higher.min, higher.max) == (True, False, False, True)

    items = [one.item for one in kinds(folder, "history")]
    content = merged(*items)
    *live, _ = map(merged, items)  # the last one is the finished run's
    counts = [(x["cells/done"] + x["cells/failed"], x["cells/total"]) for x in live]
    assert counts == [(count, 5) for count in range(1, 6)]
    done = [x["linearity_mae"] for x in run.results.records if x["status"] == "done"]
    of_cells = [x["cell/linearity_mae"] for x in live if "cell/linearity_mae" in x]
    assert sorted(of_cells) == sorted(done)

    def stored(name: str) -> pd.DataFrame:
        table = json.loads((folder / "files" / content[name]["path"]).read_text())
        return pd.DataFrame(table["data"], columns=table["columns"])

    board, shown = run.summary.sections[0].tables[0], stored("tables/leaderboard")
    assert list(shown) == board.columns
    assert list(shown["generator"]) == [row["generator"] for row in board.rows]
    assert list(stored("curves")["clip"].value_counts()) == [12] * 4
    images = [name for name in content if name.startswith("figures/")]
    assert len(images) == 4 + 2
    assert all((folder / "files" / content[name]["path"]).is_file() for name in images)
    assert content["mean/linearity_mae"] == pytest.approx(sum(done) / len(done))


def publish(root: Path, value: float = 0.25, **settings: Any) -> str:
    folder = RunFolder(root / "runs" / "name")
    folder.prepare()
    tracker = trackers.WandbTracker(**settings)
    tracker.start(folder, {"x": 1}, 0, 0)
    row = {"status": "failed", "linearity_mae": value}
    return tracker.publish(folder, [row], Summary("done", []))


def test_a_run_made_again_goes_on_as_the_same_wandb_run(tmp_path, monkeypatch):
    root = tmp_path / "runs" / "name"
    other = root / "wandb" / "offline-run-20200101_000000-other"
    other.mkdir(parents=True)

    def folders() -> list[Path]:
        return [folder for folder in offline_folders(root) if folder != other]

    with monkeypatch.context() as patch:
        patch.setattr(trackers, "_content", Mock(side_effect=RuntimeError("enough")))
        assert "not written (enough)" in publish(tmp_path)
    (cut_off,) = folders()
    time.sleep(1.1)  # W&B names folders by the second
    first = publish(tmp_path, 0.5)
    (folder,) = folders()
    assert folder != cut_off
    content = merged(*(one.item for one in kinds(folder, "history")))
    assert content["mean/linearity_mae"] == 0.5
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert publish(tmp_path, 0.5) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    (file,) = folder.glob("*.wandb")
    file.with_suffix(".wandb.synced").touch()
    time.sleep(1.1)
    publish(tmp_path, 0.75)
    assert len(folders()) == 2
    assert other.is_dir()
    assert {run.run_id for folder in folders() for run in kinds(folder, "run")} == {"name"}


def test_an_offline_folder_can_be_synced(tmp_path):
    line = publish(tmp_path / "it's $HOME")
    _, command, *words, _, _ = shlex.split(line.partition("): ")[2])
    words = [sys.executable, "-m", "wandb", command, "--dry-run", *words]
    done = harness.command(*words, WANDB_SILENT="false")
    assert done.returncode == 0, done.stderr
    assert "Would sync 1 run" in done.stdout + done.stderr


@pytest.mark.slow
def test_jobs_of_a_sweep_share_a_group(tmp_path):
    clips = harness.two_generators(tmp_path / "clips", 1)
    words = harness.leaderboard_words(clips, tmp_path / "out", "-m", "embedder=pixels,histogram")
    done = harness.command(*harness.RUN, *words, "workers=1", "logger=wandb", WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    found = [kinds(folder, "run")[-1] for folder in tmp_path.glob("out/runs/*/wandb/offline-run-*")]
    assert len({run.run_group for run in found}) == 1
    assert found[0].run_group
    assert len({run.display_name for run in found}) == 2


@pytest.mark.slow
def test_wandb_is_left_alone_unless_it_is_asked_for(tmp_path):
    clips = harness.two_generators(tmp_path / "clips", 1)
    words = harness.leaderboard_words(clips, tmp_path / "out", "embedder=histogram", "workers=1")
    script = f"import sys, run; sys.argv = ['run.py', *{words!r}]; assert run.main() == 0; "
    script += "assert 'wandb' not in sys.modules"
    words = ["compare", str(clips), "--out", str(tmp_path / "out"), "--embedder", "pixels"]
    for command in ([sys.executable, "-c", script], [*harness.SPF, *words]):
        done = harness.command(*command)
        assert done.returncode == 0, done.stderr
        assert "W&B" not in done.stderr
    assert not list(tmp_path.rglob("wandb"))
    done = harness.command(*harness.SPF, *words, "--wandb", WANDB_MODE="offline")
    assert "W&B (offline): wandb sync " in done.stderr
    assert len(list(tmp_path.glob("out/runs/*/wandb/offline-run-*"))) == 1


refused = Mock(side_effect=wandb.errors.AuthenticationError("no such key"))
granted = Mock(return_value=True)


@pytest.mark.parametrize(("variable", "login", "mode"), [
    ("disabled", granted, "disabled"), ("", wandb.login, "offline"),  # no account
    ("", granted, "online"), ("", refused, "offline"),
])  # fmt: skip
def test_the_account_and_wandb_mode_decide(variable, login, mode, tmp_path, monkeypatch, capsys):
    init = Mock(side_effect=RuntimeError("enough"))
    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "login", login)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert "not written (enough)" in publish(tmp_path, project="mine", group="g")
    (settings,) = (call.kwargs for call in init.call_args_list)
    wanted = {"mode": mode, "project": "mine", "group": "g", "dir": str(tmp_path / "runs" / "name")}
    assert settings | wanted == settings
    errors = capsys.readouterr().err
    assert ("offline" in harness.check_one_line(errors)) if login is refused else not errors


def test_a_broken_package_fails_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    clips = harness.two_generators(tmp_path / "clips", 1)
    assert harness.run(clips, tmp_path / "out", "embedder=pixels", "logger=wandb").code == 0
