import os
import re
import signal
import subprocess
import time
from contextlib import suppress

import harness
import hydra
import pandas as pd
import psutil
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from benchmarks.harness import sweeps
from benchmarks.harness.commandline import as_typed, compose, first, parse, prepare_sweep
from spf.errors import ConfigError, UnavailableError
from spf.names import shell_quoted

# Hydra says of our settings of a launcher that the plug-in has a schema of the same name.
pytestmark = pytest.mark.filterwarnings("ignore:\\s*'hydra/launcher")


def test_launchers_compose_with_their_schemas(monkeypatch):
    paths = sorted((harness.CONFIGS / "hydra" / "launcher").glob("*.yaml"))
    assert len(paths) == 3
    for path in paths:
        assert re.fullmatch(r"# .*\bNeeds [^.]*\.", path.read_text().partition("\n")[0])
        with monkeypatch.context() as patch:
            patch.setattr("spf.extras.find_spec", lambda _: True)
            words = ["-m", f"hydra/launcher={path.stem.replace('_', '-')}", "embedder=pixels"]
            assert f"hydra/launcher={path.stem}" in prepare_sweep(parse(words).overrides)[0]
            patch.setattr("spf.extras.find_spec", lambda _: None)
            if path.stem != "joblib":  # which comes with the harness
                with pytest.raises(UnavailableError, match="extra cluster") as error:
                    prepare_sweep(parse(words).overrides)
                harness.check_one_line(str(error.value))
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    with pytest.raises(ConfigError, match="gpus_per_nod"):
        prepare_sweep(["hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_nod=2"])


def test_a_sweep_has_one_table_of_settings_and_metrics(tmp_path, capsys):
    """Worked out by hand: means over clips that have a pacing; a job without a run is a row too."""
    rows = [
        ("done", "", "a", "none", 0.25),
        ("done", "", "b", "none", 0.5),
        ("done", "flicker", "c", "none", 0.0),
        ("done", "", "a", "blend", 0.125),
        ("failed", "broken", "b", "blend", None),
    ]
    records = pd.DataFrame(rows, columns=["status", "reason", "clip", "retime", "linearity_mae"])
    place = {"embedder": "pixels (control)", "model": "m", "target": "sine", "peak_speed": None}
    sweep, folder = tmp_path / "sweeps" / "x", tmp_path / "runs" / "2"
    folder.mkdir(parents=True)
    counts = {"attempts": [1, 1, 2, 3, 3]}  # whole numbers are no metric
    records.assign(**place, **counts).to_parquet(folder / "records.parquet")
    for number, code, name in ((10, 3, "siglip"), (2, 1, "pixels")):
        words = [f"embedder={name}", "fit.window=3", "x=1"]
        sweeps.report(sweep, number, code, words, str(folder.with_name(str(number))))
    (sweep / "jobs" / "11.json").write_text("{")
    codes, line = sweeps.summarise(sweep)
    assert codes == {1, 3}
    assert line == f"sweep: 0 of 2 jobs without a failure; see {sweep / 'index.html'}"
    first = (sweep / "jobs.csv").read_text().splitlines()[1]
    assert first == f"2,1,embedder=pixels fit.window=3 x=1,{folder}"
    assert (sweep / "sweep.csv").read_text() == (
        "job,embedder,retime,status,clips,no pacing,failed,linearity_mae\n"
        "2,pixels,none,some failed,2,1,0,0.375\n"
        "2,pixels,blend,some failed,1,0,1,0.125\n"
        "10,siglip,,cannot run here,,,,\n"
    )
    page = harness.Page((sweep / "index.html").read_text())
    text = " ".join("".join(page.text).split())
    assert "In all rows: embedder pixels (control), model m, target sine." in text
    assert (sweep / str(page.all("a")[0]["href"])).resolve() == folder / "index.html"
    shown = capsys.readouterr().err.splitlines()
    assert shown[1].split() == ["2", "pixels", "none", "some", "failed", "2", "1", "0", "0.375"]


def test_a_swept_group_may_have_settings(tmp_path):
    """Hydra composes a sweep once without what is swept: there stills=none has no settings."""
    words = ["-m", "stills=sdxl,flux", "stills.size=[64,96]", "stills.path=a b", "target=sine"]
    overrides, _ = prepare_sweep(parse([*words, f"output={tmp_path}"]).overrides)
    with hydra.initialize_config_dir(str(harness.CONFIGS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
    assert config.stills == harness.compose().stills
    (size,) = (word for word in overrides if word.startswith("stills.size"))
    assert first(size) == "stills.size=[64,96]"
    job = compose([first(word) for word in overrides]).stills
    assert (job.size, job.path) == ([64, 96], "a b")


def test_a_job_that_is_started_again_reports_once(tmp_path):
    assert sweeps.summarise(tmp_path)[0] == set()  # which the command takes for a failure
    for code in (1, 3):
        sweeps.report(tmp_path, 10, code, ["b=2"], "")
    assert sweeps.summarise(tmp_path)[0] == {3}
    blocked = harness.touch(tmp_path, "other/jobs") / "other"  # a file where the folder would be
    sweeps.report(blocked, 0, 0, [], "")
    assert sweeps.summarise(blocked)[0] == set()


def test_a_jobs_options_can_be_typed_again():
    words = ["output=it's ${HOME},\n\udcff\\", "benchmark=leaderboard", "fit.window=7"]
    words.append("inputs=['a,b', \"c'd\"]")
    overrides = parse(words).overrides
    line = " ".join(map(shell_quoted, as_typed(harness.compose(*words), overrides)))
    assert line.isprintable()
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    assert parse(os.fsdecode(done.stdout).split("\0")[:-1]).overrides == overrides


@pytest.mark.slow
def test_joblib_gives_what_one_job_after_the_other_gives(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    # The second job has all cells of the first one, and more.
    words = ["-m", *harness.TINY, "benchmark.studies=[floor],[floor,jumps]", "output=out"]
    tables = []
    for name, more in (("one", []), ("two", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"])):
        folder = tmp_path / name
        folder.mkdir()
        done = harness.command(*harness.RUN, *words, *more, cwd=folder, timeout=600)
        assert done.returncode == 0, done.stderr
        assert "2 of 2 jobs without a failure" in done.stderr
        paths = [path for suffix in ("csv", "md") for path in folder.glob(f"out/runs/*/*.{suffix}")]
        tables.append({str(path.relative_to(folder)): path.read_bytes() for path in paths})
    assert tables[0] == tables[1] != {}


@pytest.fixture
def submitted(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = ["-m", "hydra/launcher=submitit_local", *harness.TINY, "benchmark.studies=[grid]"]
    process = harness.start(*harness.RUN, *words, "output=out", cwd=tmp_path)
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_preempted_job_is_queued_again_and_goes_on(tmp_path, submitted):
    until = time.monotonic() + 120
    while len(list(tmp_path.glob("out/cells/[0-9a-f]*/manifest.json"))) < 2:
        assert submitted.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    (folder,) = tmp_path.glob("out/sweeps/*/submitit/[0-9]*")
    for task in psutil.Process(int(folder.name)).children():
        task.send_signal(signal.SIGUSR2)  # as Slurm does before it takes the machine away
    output, errors = submitted.communicate(timeout=400)
    assert submitted.returncode == 0, output + errors
    log = next(folder.glob("*_log.out")).read_text()
    assert log.count("Starting with JobEnvironment") == 2
    assert "taken from an earlier run" in next(folder.glob("*_log.err")).read_text()
