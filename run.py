"""One experiment: compose the config, show the plan, run, record.

    python run.py model=folder model.path=clips/ benchmark=leaderboard
    python run.py -m embedder=pixels,histogram        (a sweep)
    python run.py --help                              (all words)

Exit codes: 0 all cells done or declared not run; 1 some failed; 2 bad configuration; 3 the named
embedder or model cannot run here; 130 after Ctrl-C. The last line of output is the run's folder.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from spf.errors import ConfigError, SpfError
from spf.words import choose

CONFIGS = Path(__file__).resolve().parent / "configs"
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir())
CODES = "SPF_EXIT_CODES"
INTERRUPTED = 130


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
    finally:
        # Hydra keeps no job's exit code, and a sweep's jobs may be processes of their own.
        with open(os.environ[CODES], "a") as file:
            file.write(f"{code}\n")
    if code == INTERRUPTED:
        raise KeyboardInterrupt  # the rest of a sweep is not started


def checked(arguments: list[str]) -> list[str]:
    """The command line with its words made canonical (`ease-in` becomes `ease_in`).

    Raises ConfigError, with the nearest valid words, for an unknown word of a group, and for what
    Hydra cannot compose: its own messages run over many lines.
    """
    given = get_args_parser().parse_known_args(arguments)[0]
    fixed = {override: _canonical(override) for override in given.overrides}
    for override in fixed.values():
        if _first(override) != override and not given.multirun:
            raise ConfigError(f"{override} names several; add -m to run one after the other")
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            # One combination shows whether the keys exist; the words are checked already.
            config = hydra.compose("config", [_first(override) for override in fixed.values()])
    except ConfigError:
        raise
    except Exception as error:  # Hydra raises its own, OmegaConf's and Python's
        raise ConfigError(f"{_line(error)} (see python run.py --help)") from None
    for group in GROUPS:
        if config.get(group) is None:
            raise ConfigError(f"{group} is taken out, but every run needs one; choose a word of it")
    return [fixed.get(word, word) for word in arguments]


def _canonical(override: str) -> str:
    group, equals, words = override.partition("=")
    if not equals or group not in GROUPS or not re.fullmatch(r"[\w,\s-]*", words):
        return override  # not a plain word: Hydra's own grammar has its own messages
    known = [path.stem for path in (CONFIGS / group).glob("*.yaml")]
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
    informing = {"-h", "--help", "--hydra-help", "--cfg", "-c", "--info", "-i", "--version"}
    try:
        if informing.intersection(sys.argv[1:]):
            experiment()
            return 0
        sys.argv[1:] = checked(sys.argv[1:])
        with tempfile.NamedTemporaryFile("r", prefix="spf-codes-") as file:
            os.environ[CODES] = file.name
            experiment()
            codes = {int(line) for line in file} or {1}
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: nothing was lost, start again to go on", file=sys.stderr)
        return INTERRUPTED
    failures = codes - {0}
    return failures.pop() if len(failures) == 1 else int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
