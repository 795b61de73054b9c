"""One experiment: compose the config, show the plan, run, record.

    python run.py model=folder model.path=clips/ benchmark=leaderboard
    python run.py -m embedder=pixels,histogram        (a sweep; docs/sweeps.md)
    python run.py --fresh ...                         (start over: nothing finished counts)
    python run.py --help                              (all words)

Started again, a run goes on where it stopped; started twice, the two share the work.

Exit codes: 0 all cells done or declared not run; 1 some failed; 2 bad configuration; 3 the named
embedder or model cannot run here; 130 after Ctrl-C. The last line of output is the run's folder.
"""

import os
import re
import secrets
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from spf.devices import let_idle_threads_sleep
from spf.errors import ConfigError, SpfError
from spf.extras import require_extra
from spf.words import choose, printable

try:
    require_extra("run.py", "harness")
    import hydra
    from hydra._internal.utils import get_args_parser
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.types import RunMode
    from omegaconf import DictConfig
except SpfError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)

ROOT = Path(__file__).resolve().parent
CONFIGS = ROOT / "configs"
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.name != "hydra" and path.is_dir())
LAUNCHER = "hydra/launcher"
SHORT = {"inputs": "benchmark.inputs"}
"""Words that stand for longer ones."""

INTERRUPTED = 130

codes: set[int] = set()
"""Exit code of the one job that is no sweep's."""


@hydra.main(config_path="configs", config_name="config", version_base="1.3")
def experiment(config: DictConfig) -> None:
    """One job of Hydra's; a sweep calls it once for each combination, maybe in other processes."""
    if str(ROOT) not in sys.path:  # a launcher may start Python elsewhere
        sys.path.insert(0, str(ROOT))
    from benchmarks import session
    from benchmarks.running import sweeps

    hydra_config = HydraConfig.get()
    if config.workers is None and hydra_config.runtime.choices[LAUNCHER] in sweeps.SIDE_BY_SIDE:
        config.workers = 1
    code, folder = 1, ""
    try:
        finished = session.run(config)
        code, folder = finished.code, str(finished.folder.root)
        print(printable(folder), flush=True)
    except SpfError as error:
        code = error.exit_code
        print(printable(str(error)), file=sys.stderr)
    except OSError as error:  # a file that the run wrote and reads again, or its folder
        what = f"{error.filename or 'a file'}: {error.strerror or _line(error)}"
        what = f"{what}; mend it and start again: finished cells are kept"
        print(printable(what), file=sys.stderr)
    finally:
        if hydra_config.mode == RunMode.MULTIRUN:
            words = list(hydra_config.overrides.task)
            sweeps.report(Path(hydra_config.sweep.dir), hydra_config.job.num, code, words, folder)
        else:
            codes.add(code)
    if code == INTERRUPTED:
        raise KeyboardInterrupt  # the rest of a sweep is not started


@dataclass(frozen=True)
class CommandLine:
    """Arguments that Hydra takes, and the folder of the sweep that they ask for, if they do."""

    arguments: list[str]
    sweep: Path | None = None


def checked(arguments: list[str]) -> CommandLine:
    """The command line with its words made canonical (`ease-in` becomes `ease_in`) and `--fresh`
    made a word that all jobs share.

    Raises ConfigError, with the nearest valid words, for an unknown word of a group, and for what
    Hydra cannot compose: its own messages run over many lines. UnavailableError for a launcher
    whose package is missing.
    """
    if "--fresh" in arguments:
        arguments = [word for word in arguments if word != "--fresh"]
        arguments.append(f"fresh=run-{secrets.token_hex(8)}")
    given, unknown = get_args_parser().parse_known_intermixed_args(arguments)
    if unknown:
        raise ConfigError(f"unknown option {unknown[0]}; see python run.py --help")
    fixed = {override: _canonical(override) for override in given.overrides}
    for override in fixed.values():
        if _first(override) != override and not given.multirun:
            raise ConfigError(f"{override} names several; add -m to run one after the other")
    # One combination shows whether the keys exist; the words are checked already.
    config = _compose([_first(override) for override in fixed.values()])
    for group in GROUPS:
        if config.get(group) is None:
            raise ConfigError(f"{group} is taken out, but every run needs one; choose a word of it")
    options = [word for word in arguments if word not in fixed]
    arguments = [*options, *fixed.values()]  # Hydra wants them apart
    if not given.multirun:
        return CommandLine(arguments)
    from benchmarks.running import sweeps

    sweeps.check_launcher(config.hydra.runtime.choices[LAUNCHER])
    if any(word.startswith("hydra.sweep.dir=") for word in arguments):
        return CommandLine(arguments, Path(config.hydra.sweep.dir))
    lasting = [word for word in fixed.values() if not word.startswith("fresh=")]
    sweep = sweeps.folder_of(config.output, lasting)
    return CommandLine([*arguments, f"hydra.sweep.dir={_quoted(str(sweep))}"], sweep)


def _compose(overrides: list[str]) -> DictConfig:
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            return hydra.compose("config", overrides, return_hydra_config=True)
    except Exception as error:  # Hydra raises its own, OmegaConf's and Python's
        raise ConfigError(f"{_line(error)} (see python run.py --help)") from None


def _quoted(value: str) -> str:
    """A value as Hydra's grammar reads it back, whatever letters it has."""
    return "'" + value.replace("'", "\\'").replace("${", "\\${") + "'"


def _canonical(override: str) -> str:
    group, equals, words = override.partition("=")
    if group in SHORT:
        return f"{SHORT[group]}={words}"
    if not equals or group not in (*GROUPS, LAUNCHER) or not re.fullmatch(r"[\w,\s-]*", words):
        return override  # not a plain word: Hydra's own grammar has its own messages
    known = [path.stem for path in (CONFIGS / group).glob("*.yaml")]
    known += ["basic"] * (group == LAUNCHER)  # Hydra's own: one job after the other
    return f"{group}={','.join(choose(word.strip(), known, group) for word in words.split(','))}"


def _first(override: str) -> str:
    """The override, or the first of a sweep's."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except Exception as error:
        raise ConfigError(f"{override}: {_line(error)} (see python run.py --help)") from None
    if not parsed.is_sweep_override():
        return override
    return f"{parsed.key_or_group}={next(iter(parsed.sweep_string_iterator()))}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def main() -> int:
    """Run, and turn the jobs' exit codes into one: the same, or 1 where they differ."""
    let_idle_threads_sleep()
    # Hydra says of our settings of a launcher that the plug-in has a schema of the same name.
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated", UserWarning)
    informing = {"-h", "--help", "--hydra-help", "--cfg", "-c", "--info", "-i", "--version"}
    try:
        if informing.intersection(sys.argv[1:]):
            experiment()
            return 0
        line = checked(sys.argv[1:])
        sys.argv[1:] = line.arguments
        if line.sweep is None:
            experiment()
            found = codes or {1}
        else:
            found = _sweep(line.sweep)
    except SpfError as error:
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: nothing was lost, start again to go on", file=sys.stderr)
        return INTERRUPTED
    failures = found - {0}
    return failures.pop() if len(failures) == 1 else int(bool(failures))


def _sweep(folder: Path) -> set[int]:
    """Run a sweep; the exit codes of its jobs, with 1 for those that ended without one."""
    from benchmarks.running import sweeps

    os.environ["HYDRA_FULL_ERROR"] = "1"  # a launcher's errors come here, not to the terminal
    # The same warning as in `main`, in processes that joblib starts.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.process")
    lost: set[int] = set()
    since = sweeps.begin(folder)
    try:
        experiment()
    except Exception as error:  # joblib's, submitit's, Hydra's: a job died, or was never started
        lost = {1}
        what = f"{type(error).__name__}: {_line(error)[:300]}"
        print(f"a job ended without a result ({what}); start again to go on", file=sys.stderr)
    found, said = sweeps.summarise(folder, since)
    print(said, file=sys.stderr)
    return (found | lost) or {1}


if __name__ == "__main__":
    sys.exit(main())
