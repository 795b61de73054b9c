"""run.py as a process: exit codes, one-line errors, Ctrl-C, sudden death, and two at once."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import harness
import pandas as pd
import pytest

from benchmarks.harness.commandline import compose, first, parse, prepare_sweep
from spf.errors import ConfigError
from spf.names import printable

# Options are checked before anything is loaded, so most of it can be asked in this process.


def checked(words: list[str]) -> list[str]:
    """The overrides of a command line that can be composed."""
    line = parse(words)
    compose([first(word) for word in line.overrides] if line.sweep else line.overrides)
    return line.overrides


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("embedder=pixel", "did you mean pixels?"),
        ("embedder=histogramm", "did you mean histogram?"),
        ("embedder=siglipp", "clip, dinov2, efficientnet, histogram, pixels"),
        ("embedder=pixels,histogrm", "did you mean histogram?"),
        ("embedder=", "clip, dinov2, efficientnet, histogram, pixels"),
        ("model=foldr", "did you mean folder?"),
        ("benchmark=leader_board", "did you mean leaderboard?"),
        ("benchmark=synthetic-pacin", "did you mean synthetic_pacing?"),
        ("logger=wandv", "did you mean wandb?"),
        ("target=lineal", "did you mean linear"),
        ("retime=ropes", "did you mean rope"),
        ("quality=vb", "none"),
        ("hydra/launcher=jobli", "did you mean joblib?"),
    ],
)
def test_unknown_names_of_a_group_name_the_nearest(word: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        checked([word])
    text = harness.check_one_line(str(error.value))
    group, _, given = word.partition("=")
    assert group in text
    assert given.split(",")[-1] in text
    assert hint in text


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("fit.windw=3", "fit.window"),
        ("windw=3", "fit.window"),
        ("window=3", "fit.window"),
        ("+fit.windw=3", "fit.window"),
        ("++fit.windw=3", "fit.window"),
        ("~fit.windw", "fit.window"),
        ("embeder=pixels", "embedder"),
        ("+embeder=pixels", "embedder"),
        ("model.pth=clips", "model.path"),
        ("model-path=clips", "model.path"),
        ("sampling.strid=2", "sampling.stride"),
        ("benchmark.sed=[1]", "benchmark.seeds"),
        ("hydra.launcher.n_job=2", "hydra.launcher.n_jobs"),
        ("--frsh", "--fresh"),
        ("--multi-run", "--multirun"),
    ],
)
def test_unknown_options_name_the_nearest(word: str, near: str) -> None:
    for more in ([], ["-m"]):
        with pytest.raises(ConfigError) as error:
            checked(["hydra/launcher=joblib", *more, word])
        said = word.partition("=")[0].lstrip("+~")
        assert harness.check_one_line(str(error.value)) == (
            f"unknown option {said}; did you mean {near}? python run.py --help lists all"
        )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("embedder", "embedder: write OPTION=VALUE"),
        ("clips/", "clips/: write OPTION=VALUE"),
        ("fit.window=(", "fit.window=\\(: extraneous input"),
        ("fit.window=1,2", "fit.window=1,2 names several; add -m"),
        ("embedder=tiny,pixels", "embedder=tiny,pixels names several; add -m"),
        ("~embedder", "embedder is taken out"),
        ("+embedder=pixels", "embedder"),
        ("model.path=", "model.path= names nothing; the current folder is model.path=."),
        ("output=https://a//b", "output=https://a//b: network sources are not opened; download"),
        ("inputs=[a,s3://b]", "inputs=s3://b: network sources are not opened"),
        ("zzz=1", "unknown option zzz; python run.py --help lists all"),
    ],
)
def test_what_cannot_be_composed_is_named(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        checked([word])
    harness.check_one_line(str(error.value))


def test_names_in_other_spellings_serve() -> None:
    given = ["benchmark=synthetic-pacing", "-m", "embedder=pixels,histogram", "target=ease-in"]
    canonical = ["benchmark=synthetic_pacing", "embedder=pixels,histogram", "target=ease_in"]
    assert checked(given) == canonical


def test_fresh_is_an_option_that_all_jobs_share() -> None:
    given = ["--fresh", "-m", "embedder=pixels,histogram"]
    made = [checked(given)[0] for _ in range(2)]
    assert made[0] != made[1]
    assert compose(made[:1]).fresh == made[0].removeprefix("fresh=")


def folder_of(*words: str) -> Path:
    """Of a sweep."""
    return prepare_sweep(parse(["-m", *words]).overrides)[1]


def test_a_sweep_is_named_after_its_options_not_the_clock() -> None:
    words = ["embedder=pixels,histogram", "fit.window=3,5"]
    one = folder_of(*words)
    assert one == Path("results/sweeps") / one.name
    assert folder_of(*reversed(words), "--fresh") == one
    assert folder_of(words[0], "fit.window=3") != one
    assert folder_of(*words, "hydra.sweep.dir=mine") == Path("mine")


@pytest.mark.parametrize("output", ["out", "with space", "it's", "a=b", "brä(c]k", "a,b", "${x}\\"])
def test_a_sweeps_folder_reaches_hydra(output: str) -> None:
    quoted = "'" + output.replace("'", "''") + "'"
    overrides, folder = prepare_sweep(parse(["-m", f"output={quoted}"]).overrides)
    assert compose(overrides, with_hydra=True).hydra.sweep.dir == str(folder)
    assert folder.parent == Path(output) / "sweeps"


# As a process


def run_py(*words: str, cwd: Path, clips: Path | None = None) -> subprocess.CompletedProcess[str]:
    given = ["model=folder", f"model.path={clips}"] if clips else []
    common = ["benchmark=leaderboard", "logger=csv", "output=out"]
    return harness.command(*harness.RUN, *common, *given, *words, cwd=cwd)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return harness.two_generators(tmp_path_factory.mktemp("run") / "clips", 5)


@pytest.fixture(scope="module")
def whole(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Tables of an undisturbed run in this process."""
    run = harness.run(clips, tmp_path_factory.mktemp("whole"))
    assert run.code == 0
    return harness.tables(run.folder.root)


def test_an_unknown_word_exits_2_with_one_line(tmp_path: Path) -> None:
    done = run_py("embedder=pixel", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean pixels?" in harness.check_one_line(done.stderr)
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_output_exits_2(tmp_path: Path, clips: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder would be")
    done = run_py(cwd=tmp_path, clips=clips)
    assert done.returncode == 2
    assert "output=" in harness.check_one_line(done.stderr)


def test_a_sweep_runs_every_word_and_adds_up_the_codes(tmp_path: Path) -> None:
    folder = harness.two_generators(tmp_path / "clips", 1)
    (folder / "even" / "bad.mp4").write_bytes(b"")
    (tmp_path / "null").symlink_to(folder)
    common = ["benchmark=leaderboard", "model=folder", "model.path=null", "logger=csv"]
    words = ["-m", *common, "output='o,u''t\udcff'", "embedder=pixels,histogram"]
    out = tmp_path / "o,u't\udcff"
    done = harness.command(*harness.RUN, *words, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("bad.mp4: the file is empty") == 2
    names = [Path(line).name for line in done.stdout.splitlines()]
    embedders = [name.split("-")[1] for name in names]
    assert embedders == ["pixels", "histogram"]
    assert {path.name for path in (out / "runs").iterdir()} == set(names)
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "null", out.name}
    (jobs,) = out.glob("sweeps/*/jobs.csv")
    assert [line.split(",")[:2] for line in jobs.read_text().splitlines()[1:]] == [
        ["0", "1"],
        ["1", "1"],
    ]
    place = printable(str(jobs.parent.relative_to(tmp_path)))
    assert f"0 of 2 jobs without a failure; see {place}/index.html" in done.stderr
    joint = pd.read_csv(jobs.parent / "sweep.csv")
    assert list(joint["failed"]) == [1, 0] * 2  # of even and of jumpy
    for name, row in zip([n for n in names for _ in range(2)], joint.itertuples(), strict=True):
        data = (out / "runs" / name / "records.parquet").read_bytes()
        records = pd.read_parquet(io.BytesIO(data))  # Arrow opens no such path
        (mean,) = records.loc[records["model"] == row.model, ["linearity_mae"]].mean()
        assert row.linearity_mae == pytest.approx(mean, rel=1e-5)


# Ctrl-C, sudden death, two at once; these runs use a worker for each core, `whole` used none


@contextmanager
def started(cwd: Path, clips: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in a process group of its own, which ends with the test."""
    more = ("embedder=tiny", "logger=csv", "cache=false")
    words = harness.leaderboard_words(clips, Path("out"), *more)
    process = harness.start(*harness.RUN, *words, cwd=cwd)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finished(cwd: Path) -> int:
    return len(list(cwd.glob("out/cells/[0-9a-f]*/manifest.json")))  # not the half-written ones


def wait_for_cells(cwd: Path, count: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while finished(cwd) < count:
        assert process.poll() is None, "it ended before it could be disturbed"
        assert time.monotonic() < until
        time.sleep(0.02)


def test_ctrl_c_and_sudden_death_lose_nothing_that_is_finished(
    tmp_path: Path, clips: Path, whole: dict[str, bytes]
) -> None:
    with started(tmp_path, clips) as process:
        wait_for_cells(tmp_path, 2, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the job
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "interrupted" in errors
    folder = harness.only_run(tmp_path / "out")
    assert output.splitlines()[-1:] == [str(folder.relative_to(tmp_path))]
    status = harness.read_records(folder)["status"].value_counts().to_dict()
    assert set(status) == {"done", "not_run"}
    assert status["done"] + status["not_run"] == 10
    assert status["done"] >= 2
    assert not list(tmp_path.rglob("*.tmp"))

    with started(tmp_path, clips) as process:
        wait_for_cells(tmp_path, status["done"] + 2, process)
        os.killpg(process.pid, signal.SIGKILL)
    stored = finished(tmp_path)
    done = run_py("embedder=tiny", cwd=tmp_path, clips=clips)
    assert done.returncode == 0, done.stderr
    assert f"{stored} taken from an earlier run" in done.stderr
    assert harness.tables(folder) == whole


def test_two_runs_at_once_agree(tmp_path: Path, clips: Path, whole: dict[str, bytes]) -> None:
    with started(tmp_path, clips) as first, started(tmp_path, clips) as second:
        ends = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], ends
    folder = harness.only_run(tmp_path / "out")
    for output, errors in ends:
        assert "Traceback" not in errors
        assert "Warning" not in errors
        assert "plan: leaderboard of 2 generators, 10 clips" in errors
        assert "10 of 10 clips measured" in errors
        assert output.splitlines() == [str(folder.relative_to(tmp_path))]  # the path, last
    assert harness.tables(folder) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing else is written
    assert not list(tmp_path.rglob("*.tmp"))
