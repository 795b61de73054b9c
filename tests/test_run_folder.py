"""A run's folder: its name, what is written there, and disks that refuse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import harness
import pytest

from benchmarks.harness import session
from benchmarks.harness.folder import RunFolder, slug
from spf.devices import choose_device
from spf.errors import ConfigError, SpfError


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    harness.without_plots(monkeypatch)


def test_the_name_does_not_depend_on_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    clips = harness.two_generators(tmp_path / "clips", 1)
    first = harness.run(clips, tmp_path / "out")
    later = time.time() + 1e7
    monkeypatch.setattr(time, "time", lambda: later)
    second = harness.run(clips, tmp_path / "out")
    assert second.folder.root == first.folder.root
    assert harness.only_run(tmp_path / "out") == first.folder.root
    assert first.folder.root.name.startswith("leaderboard-tiny-")


def test_a_given_name_is_the_folder(tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    run = harness.run(clips, tmp_path / "out", "name=mine")
    assert run.folder.root == tmp_path / "out" / "runs" / "mine"


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


def test_a_disk_that_fills_up_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = harness.two_generators(tmp_path / "clips")
    with monkeypatch.context() as patch:
        replace = os.replace
        count = [0]

        def full(source: Any, target: Any) -> None:
            count[0] += 1
            if count[0] > 6:
                raise OSError(28, "No space left on device")
            replace(source, target)

        patch.setattr(os, "replace", full)
        with pytest.raises(SpfError, match="No space left") as error:
            harness.run(clips, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("*.tmp"))
    run = harness.run(clips, tmp_path / "out")
    assert run.code == 0
    assert run.results.reused >= 1


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    for path in ("../x", "/x", "a/../../x", ".", ""):
        with pytest.raises(ValueError, match="outside"):
            folder.write(path, "x")
    folder.write("a/b", "x")
    assert (tmp_path / "run" / "a" / "b").read_text() == "x"


def test_slugs_are_safe_and_distinct() -> None:
    names = ["a", "a b", "a-b", "a/b", "..", ".", "-", "ä", "ö", "A" * 90, "A" * 91, "a\n"]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    for text in slugs:
        assert text == os.path.basename(text)
        assert text.strip(".-") == text != ""
        assert len(text) < 100
        assert text.isascii()
    assert slug("pair.v2_x-1") == "pair.v2_x-1"


def test_sessions_identity_leaves_out_where_results_go() -> None:
    plain = session.identity(harness.compose())
    moved = session.identity(harness.compose("output=o", "name=x", "logger=wandb", "workers=3"))
    assert plain == moved
    assert plain == session.identity(harness.compose("fresh=word", "cache=false"))
    assert plain != session.identity(harness.compose("fit.window=5"))


def test_a_default_names_the_same_run_written_down_or_not(tmp_path: Path) -> None:
    clips = harness.two_generators(tmp_path / "clips", 1)
    here = choose_device("auto")
    harness.run(clips, tmp_path / "out")
    harness.run(clips, tmp_path / "out", "fit.window=30", "fit.sigma=20", f"device={here}")
    harness.only_run(tmp_path / "out")


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
