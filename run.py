"""One experiment: compose the config, run it, exit code.

    python run.py model=folder model.path=clips/ benchmark=leaderboard
    python run.py -m embedder=pixels,histogram        (a sweep; docs/how-to/sweep.md)
    python run.py --fresh ...                         (start over: nothing finished counts)
    python run.py --help                              (all settings)

Started again, a run goes on where it stopped; started twice, the two share the work.

Exit codes: 0 all cells done or not run, with the reason; 1 some failed; 2 bad configuration; 3 the
named embedder or model cannot run here; 130 after Ctrl-C. The last line of output is the run's
folder.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from spf.devices import let_idle_threads_sleep, reuse_freed_memory
from spf.errors import SpfError
from spf.extras import require_extra
from spf.names import printable

try:
    require_extra("run.py", "harness")
    import hydra
    from omegaconf import DictConfig
except SpfError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)

if TYPE_CHECKING:
    from benchmarks.harness.commandline import CommandLine

ROOT = str(Path(__file__).resolve().parent)
INTERRUPTED = 130


@hydra.main(config_path="configs", config_name="config", version_base="1.3")
def job(config: DictConfig) -> None:
    """One job of a sweep, maybe in another process or on another machine."""
    if ROOT not in sys.path:  # a launcher may start Python elsewhere
        sys.path.insert(0, ROOT)
    from benchmarks.harness import commandline

    if commandline.run_job(config) == INTERRUPTED:
        raise KeyboardInterrupt  # the rest of the sweep is not started


def main() -> int:
    """Run what the command line asks for; the exit code of the run, or of the jobs of a sweep."""
    from benchmarks.harness import commandline

    let_idle_threads_sleep()
    reuse_freed_memory()
    # Hydra says of our settings of a launcher that the plug-in has a schema of the same name.
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated", UserWarning)
    try:
        line = commandline.parse(sys.argv[1:])
        if line.asking:
            return show(line)
        if line.sweep:
            from benchmarks.harness import sweeps

            overrides, folder = commandline.prepare_sweep(line.overrides)
            sys.argv[1:] = ["-m", *overrides]
            failures = sweeps.run(folder, job) - {0}
            return failures.pop() if len(failures) == 1 else int(bool(failures))
        code, _ = commandline.run(commandline.compose(line.overrides))
    except SpfError as error:
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        print("interrupted: nothing was lost, start again to go on", file=sys.stderr)
    return code


def show(line: "CommandLine") -> int:
    """Show the help, or have Hydra show the config or what else it was asked for."""
    from benchmarks.harness import commandline, settings

    if {"-h", "--help"} & {*line.asking}:
        print(settings.help_text(line.overrides))
        return 0
    sys.argv[1:] = [*line.asking, *line.overrides]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, and leave in one line
    try:
        job()
    except Exception as error:
        raise commandline.explained(error, line.overrides) from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
