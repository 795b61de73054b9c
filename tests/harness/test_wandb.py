"""The W&B run: what it holds can be read back, and its absence fails nothing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import struct
import sys
import time
from pathlib import Path
from typing import Any

import harness
import pytest

from benchmarks.harness import session
from benchmarks.harness.cells import Summary
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.report import trackers

wandb = pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No account, no settings of the user's, nothing written to the user's folders."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(home / name.lower()))
    monkeypatch.setenv("WANDB_SILENT", "true")
    harness.without_plots(monkeypatch)


def records_of(path: Path) -> list[Any]:
    """The records of a .wandb file: a header of 7 bytes, then LevelDB's log format.

    Chunks (checksum 4, length 2, kind 1, data) in blocks of 32 KiB; kind 1 is a whole record, 2, 3
    and 4 are its first, middle and last parts.
    """
    from wandb.proto import wandb_internal_pb2

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    found, position, parts = [], 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        if left < 7 or kind == 0:
            position += left
            continue
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


def merge(into: dict[str, Any], items: Any) -> None:
    """Put a message's items, each a path of keys and a JSON value, into nested dicts."""
    for item in items:
        *above, last = item.nested_key or [item.key]
        place = into
        for key in above:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)


def test_an_offline_run_holds_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = harness.two_generators(tmp_path / "clips")
    (clips / "even" / "bad.mp4").write_bytes(b"")
    words = harness.leaderboard_words(clips, tmp_path / "out", "logger=wandb")
    run = session.run(harness.compose(*words))
    assert run.code == 1
    errors = capsys.readouterr().err
    assert "W&B (offline): wandb sync " in errors
    assert "not written" not in errors
    (folder,) = (run.folder.root / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    assert [path.name for path in tmp_path.iterdir() if path.name == "wandb"] == []

    records = records_of(file)
    (started,) = [record.run for record in records if record.WhichOneof("record_type") == "run"][
        -1:
    ]
    assert started.display_name == run.folder.root.name
    assert started.project == "spf"
    config: dict[str, Any] = {}
    merge(config, started.config.update)
    assert config["benchmark"]["_target_"] == "benchmarks.leaderboard.experiment.Leaderboard"
    assert config["model"]["path"] == str(clips)

    content: dict[str, Any] = {}
    last: dict[str, Any] = {}
    live: list[dict[str, Any]] = []
    for record in records:
        kind = record.WhichOneof("record_type")
        if kind == "history":
            live.append({})
            merge(live[-1], record.history.item)
            merge(content, record.history.item)
        if kind == "summary":
            merge(last, record.summary.update)
    *live, _ = live  # the last one is the finished run's
    assert [(x["cells/done"] + x["cells/failed"], x["cells/total"]) for x in live] == [
        (count, 5) for count in range(1, 6)
    ]
    assert live[-1]["cells/failed"] == 1
    of_cells = [x["cell/linearity_mae"] for x in live if "cell/linearity_mae" in x]
    assert sorted(of_cells) == sorted(
        record["linearity_mae"] for record in run.results.records if record["status"] == "done"
    )
    table = content["tables/leaderboard"]
    assert table["_type"] == "table-file"
    stored = json.loads((folder / "files" / table["path"]).read_text())
    board = run.summary.sections[0].tables[0]
    assert stored["columns"] == board.columns
    assert [row[board.columns.index("generator")] for row in stored["data"]] == [
        row["generator"] for row in board.rows
    ]
    curves = json.loads((folder / "files" / content["curves"]["path"]).read_text())
    assert curves["columns"][0] == "clip"
    assert len(curves["data"]) == 4 * 12
    assert {row[0] for row in curves["data"]} == {
        f"{model}/pair{number}" for model in ("even", "jumpy") for number in (0, 1)
    }
    assert content["tables/clips"]["nrows"] == 5
    pictures = [name for name in content if name.startswith("figures/")]
    assert len(pictures) == 4 + 2
    for name in pictures:
        assert (folder / "files" / content[name]["path"]).is_file()
    done = [record for record in run.results.records if record["status"] == "done"]
    mean = sum(record["linearity_mae"] for record in done) / len(done)
    assert content["mean/linearity_mae"] == pytest.approx(mean)
    assert last["mean/linearity_mae"] == {"min": pytest.approx(mean)}


def offline_folders(root: Path) -> list[Path]:
    return sorted((root / "wandb").glob("offline-run-*"))


def kinds(folder: Path, kind: str) -> list[Any]:
    """The records of one kind in an offline folder."""
    (file,) = folder.glob("*.wandb")
    found = records_of(file)
    return [getattr(one, kind) for one in found if one.WhichOneof("record_type") == kind]


def publish(root: Path, value: float = 0.25, **settings: Any) -> str:
    """One row, published; it costs a second."""
    row = {"status": "failed", "linearity_mae": value, "pacing_entropy": 0.5, "total_change": 1.0}
    folder = RunFolder(root / "runs" / "name")
    folder.prepare()
    tracker = trackers.WandbTracker(**settings)
    return tracker.publish("name", {"x": 1}, [row], Summary("done", []), folder)


def test_metrics_have_their_direction(tmp_path: Path) -> None:
    publish(tmp_path)
    (folder,) = offline_folders(tmp_path / "runs" / "name")
    found = {metric.name: metric.summary for metric in kinds(folder, "metric")}
    lower, higher = found["mean/linearity_mae"], found["mean/pacing_entropy"]
    assert (lower.min, lower.max) == (True, False)
    assert (higher.min, higher.max) == (False, True)
    assert found["mean/total_change"].last
    config: dict[str, Any] = {}
    for run in kinds(folder, "run"):
        merge(config, run.config.update)
    assert config["metrics"]["linearity_mae"] == "lower"


def test_an_unchanged_run_is_not_published_again(tmp_path: Path) -> None:
    root = tmp_path / "runs" / "name"
    first = publish(tmp_path)
    (folder,) = offline_folders(root)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert publish(tmp_path) == first
    assert offline_folders(root) == [folder]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    shutil.rmtree(folder)
    assert "wandb sync " in publish(tmp_path)  # it is gone, so it is made again
    assert len(offline_folders(root)) == 1


def test_a_run_made_again_goes_on_as_the_same_wandb_run(tmp_path: Path) -> None:
    """Each offline publication holds everything: an older one that was never synced is replaced,
    as is what an interruption left; one that was synced is W&B's, and is continued."""
    root = tmp_path / "runs" / "name"
    publish(tmp_path, 0.25)
    (first,) = offline_folders(root)
    (root / "wandb" / "offline-run-20200101_000000-name").mkdir()  # cut off by an interruption
    other = root / "wandb" / "offline-run-20200101_000000-other"
    other.mkdir()
    time.sleep(1.1)  # W&B names folders by the second
    publish(tmp_path, 0.5)
    (second,) = [folder for folder in offline_folders(root) if folder != other]
    assert second != first
    assert other.is_dir()
    (file,) = second.glob("*.wandb")
    file.with_suffix(".wandb.synced").touch()
    time.sleep(1.1)
    publish(tmp_path, 0.75)
    left = [folder for folder in offline_folders(root) if folder != other]
    assert len(left) == 2
    ids = {run.run_id for folder in left for run in kinds(folder, "run")}
    assert ids == {"name"}


def test_a_cut_off_publication_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs" / "name"
    with monkeypatch.context() as patch:
        patch.setattr(trackers, "_content", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path)
    assert len(offline_folders(root)) == 1
    time.sleep(1.1)
    publish(tmp_path)
    (folder,) = offline_folders(root)
    content: dict[str, Any] = {}
    for history in kinds(folder, "history"):
        merge(content, history.item)
    assert content["mean/linearity_mae"] == 0.25


def test_an_offline_folder_can_be_synced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """W&B's own command finds it and reads it; without an account it goes no further."""
    said = publish(tmp_path / "it's $HOME")
    _, command, *words, _, _ = shlex.split(said.partition("): ")[2])
    done = harness.command(
        sys.executable, "-m", "wandb", command, "--dry-run", *words, WANDB_SILENT="false"
    )
    assert done.returncode == 0, done.stderr
    assert "Would sync 1 run" in done.stdout + done.stderr


def test_jobs_of_a_sweep_share_a_group(tmp_path: Path) -> None:
    """Each is named after its words."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    words = harness.leaderboard_words(clips, tmp_path / "out", "-m", "embedder=pixels,histogram")
    words += ["workers=1", "logger=wandb"]
    done = harness.command(*harness.RUN, *words, WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    found = [kinds(folder, "run")[-1] for folder in tmp_path.glob("out/runs/*/wandb/offline-run-*")]
    assert len({run.run_group for run in found}) == 1
    assert found[0].run_group
    names = {run.display_name for run in found}
    assert len(names) == 2
    assert not any("workers" in name or "output" in name for name in names)


def test_names_of_jobs_are_short_and_their_own() -> None:
    assert trackers.job_name(["embedder=tiny", "target=sine"]) == "embedder=tiny target=sine"
    long = [trackers.job_name([f"model.path={'x' * 200}", f"seed={seed}"]) for seed in (1, 2)]
    assert long[0] != long[1]
    assert max(map(len, long)) <= 128


def test_wandb_is_left_alone_unless_it_is_asked_for(tmp_path: Path) -> None:
    """By run.py and by `spf compare`."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    words = harness.leaderboard_words(clips, tmp_path / "out", "embedder=histogram", "workers=1")
    script = (
        "import sys, run\n"
        f"sys.argv = ['run.py', *{words!r}]\n"
        "assert run.main() == 0\n"
        "assert 'wandb' not in sys.modules"
    )
    done = harness.command(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
    words = ["compare", str(clips), "--out", str(tmp_path / "out"), "--embedder", "pixels"]
    done = harness.command(*harness.SPF, *words)
    assert done.returncode == 0, done.stderr
    assert "W&B" not in done.stderr
    assert len(list(tmp_path.glob("out/runs/*"))) == 2
    assert not list(tmp_path.rglob("wandb"))
    done = harness.command(*harness.SPF, *words, "--wandb", WANDB_MODE="offline")
    assert "W&B (offline): wandb sync " in done.stderr
    assert len(list(tmp_path.glob("out/runs/*/wandb/offline-run-*"))) == 1


def test_a_broken_package_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it raises ImportError
    clips = harness.two_generators(tmp_path / "clips", 1)
    assert harness.run(clips, tmp_path / "out", "logger=wandb").code == 0


def refused(**_: object) -> bool:
    raise wandb.errors.AuthenticationError("no such key")


@pytest.mark.parametrize(
    ("variable", "login", "mode", "warned"),
    [
        ("disabled", lambda **_: True, "disabled", False),
        ("", wandb.login, "offline", False),  # no account
        ("", lambda **_: True, "online", False),
        ("", refused, "offline", True),
    ],
)
def test_the_account_and_wandb_mode_decide(
    variable: str,
    login: Any,
    mode: str,
    warned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []

    def init(**given: Any) -> None:
        seen.append(given)
        raise RuntimeError("enough")

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "login", login)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert "not written (enough)" in publish(tmp_path, project="mine", group="g")
    (given,) = seen
    assert (given["mode"], given["project"], given["group"]) == (mode, "mine", "g")
    assert given["dir"] == str(tmp_path / "runs" / "name")
    errors = capsys.readouterr().err
    assert ("offline" in harness.check_one_line(errors)) if warned else not errors


def test_a_run_with_other_columns_is_published_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    words = ["benchmark=synthetic_pacing", "benchmark.studies=[floor]", "benchmark.num_frames=8"]
    words += ["benchmark.contents=[brick-cat-warp]", "benchmark.size=[32,32]", "workers=1"]
    words += ["benchmark.seeds=[1]", "logger=wandb", f"output={tmp_path / 'out'}"]
    run = session.run(harness.compose(*words))
    assert run.code == 0
    assert "W&B (offline): wandb sync " in capsys.readouterr().err
    (table,) = run.folder.root.glob("wandb/offline-run-*/files/media/table/curves_*.json")
    columns = json.loads(table.read_text())["columns"]
    assert {"clip", "u", "progress", "truth", "corrected"} <= set(columns)
