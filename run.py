"""One experiment: compose the config, show the plan, run, record.

    python run.py model=folder model.path=clips/ benchmark=leaderboard
    python run.py -m embedder=pixels,histogram        (a sweep)
    python run.py --help                              (all words)

Exit codes: 0 all cells done or declared not run; 1 some failed; 2 bad configuration; 3 the named
embedder or model cannot run here; 130 after Ctrl-C. The last line of output is the run's folder.
"""

import os
import sys
import tempfile
from itertools import product
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from spf.errors import ConfigError, SpfError
from spf.words import choose

CONFIGS = Path(__file__).resolve().parent / "configs"
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir())
CODES = "SPF_EXIT_CODES"


@hydra.main(config_path="configs", config_name="config", version_base="1.3")
def experiment(config: DictConfig) -> None:
    """One job of Hydra's; a sweep calls it once for each combination."""
    from benchmarks import session

    code = 1
    try:
        finished = session.run(config)
        code = finished.code
        print(finished.folder.root, flush=True)
    except SpfError as error:
        code = error.exit_code
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        code = session.INTERRUPTED
        print("interrupted: nothing was lost, start again to continue", file=sys.stderr)
    # Hydra keeps no job's exit code, and a sweep's jobs may be processes of their own.
    with open(os.environ[CODES], "a") as file:
        file.write(f"{code}\n")
    if code == session.INTERRUPTED:
        sys.exit(code)


def checked(arguments: list[str]) -> list[str]:
    """The command line with its words made canonical (`ease-in` becomes `ease_in`).

    Raises ConfigError, with the nearest valid words, for an unknown word of a group, and for what
    Hydra cannot compose: its own messages run over many lines.
    """
    overrides = [word for word in arguments if not word.startswith("-")]
    fixed = {override: _canonical(override) for override in overrides}
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            for combination in product(*map(_alternatives, fixed.values())):
                hydra.compose("config", list(combination))
                break  # one shows whether the keys exist; the words are checked already
    except Exception as error:  # Hydra raises its own, OmegaConf's and Python's
        why = " ".join(str(error).split())
        raise ConfigError(f"{why} (see python run.py --help)") from None
    return [fixed.get(word, word) for word in arguments]


def _canonical(override: str) -> str:
    group, equals, words = override.partition("=")
    if not equals or group not in GROUPS:
        return override
    known = [path.stem for path in (CONFIGS / group).glob("*.yaml")]
    return f"{group}={','.join(choose(word.strip(), known, group) for word in words.split(','))}"


def _alternatives(override: str) -> list[str]:
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return [override]
    return [f"{parsed.key_or_group}={value}" for value in parsed.sweep_string_iterator()]


def main() -> int:
    """Run, and turn the jobs' exit codes into one: the same, or 1 where they differ."""
    informing = {"-h", "--help", "--hydra-help", "--cfg", "-c", "--info", "-i", "--version"}
    if not informing.intersection(sys.argv[1:]):
        try:
            sys.argv[1:] = checked(sys.argv[1:])
        except ConfigError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    with tempfile.NamedTemporaryFile("r", prefix="spf-codes-") as file:
        os.environ[CODES] = file.name
        experiment()
        codes = {int(line) for line in file}
    failures = codes - {0}
    return failures.pop() if len(failures) == 1 else int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
