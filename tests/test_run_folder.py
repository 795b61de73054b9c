"""A run's folder: its name, what is written there, and disks that refuse."""

from __future__ import annotations

import time
from pathlib import Path

import harness
import pytest

from benchmarks.harness import session
from benchmarks.harness.folder import RunFolder
from spf.devices import choose_device
from spf.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.without_plots(monkeypatch)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/absolute"])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    with pytest.raises(ConfigError):
        harness.run(clips, tmp_path / "out", f"name={name}")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError) as error:
        harness.run(clips, tmp_path / "file" / "out")
    assert "output=" in harness.check_one_line(str(error.value))


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for path in ("../x", "/x", "a/../../x", ".", ""):
        with pytest.raises(ValueError, match="outside"):
            folder.write(path, "x")
    folder.write("a/b", "x")
    assert (tmp_path / "run" / "a" / "b").read_text() == "x"


def test_the_settings_name_the_run_and_neither_the_clock_nor_how_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out")
    assert first.folder.root.name.startswith("leaderboard-tiny-")
    later = time.time() + 1e7
    monkeypatch.setattr(time, "time", lambda: later)
    here = f"device={choose_device('auto')}"
    harness.run(clips, tmp_path / "out", "fit.window=30", "fit.sigma=20", here, "workers=1")
    assert harness.only_run(tmp_path / "out") == first.folder.root
    other = harness.run(clips, tmp_path / "out", "fit.window=5")
    assert other.folder.root != first.folder.root


def test_the_name_does_not_depend_on_where_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = harness.compose("benchmark=synthetic_pacing")
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        names.append(session.make_job(config)[1].store.folder.root.name)
    assert names[0] == names[1]
