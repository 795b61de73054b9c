"""Kill a run again and again, and prove that nothing is lost, changed or done twice.

    python scripts/kill_harness.py [what=run|pool|four] [kills=50] [seed=0] [folder=/tmp/kills]
                                   [-- WORDS OF run.py]

run.py starts in a process group of its own, which is killed (SIGKILL) at a moment drawn from the
seed, every other time in the midst of a write, and is started again until it ends by itself. Then
its tables are compared, byte by byte, with those of an undisturbed run, and the next round begins
in an empty folder. `four` starts four commands at once on the same cells, and kills three of them.
Exit code 1 where anything went wrong.
"""

import os
import random
import runpy
import shutil
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOADED = ("benchmarks.harness.session", "benchmarks.known_pacing.experiment", "pyarrow")
RUN = [
    "benchmark=synthetic_pacing", "benchmark.contents=[shape-drop-gear,moon-tissue-dissolve]",
    "benchmark.seeds=[1000]", "benchmark.num_frames=21", "benchmark.size=[48,48]", "logger=csv",
    "embedder=histogram", "benchmark.studies=[floor]",
]  # fmt: skip
WORKERS = {"run": 1, "pool": 2, "four": 1}


class StartedCommand:
    """run.py in a forked process that leads a group of its own; its output goes to a file."""

    def __init__(self, overrides: list[str], output: Path) -> None:
        self.code: int | None = None
        self.pid = os.fork()  # from a process that has loaded the libraries: kills fall on its work
        if self.pid == 0:
            os.setsid()
            os.chdir(output.parent)
            with open(output.parent / "log", "ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.argv = ["run.py", *overrides, f"output={output.name}"]
            try:
                runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
            except SystemExit as end:
                os._exit(int(end.code or 0))
            finally:
                os._exit(99)  # a traceback was printed

    def running(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def wait(self, until: float = float("inf"), write: Path | None = None) -> bool:
        """Whether it has ended; else the moment has come, and something is half-written there."""
        while self.running():
            late = time.perf_counter() >= until
            if late and (write is None or next(write.rglob(".spf-*"), None)):
                return False
            time.sleep(0.001)
        return True

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def tables(output: Path) -> set[tuple[str, bytes]]:
    """Path and bytes of every table of every run, but for those of seconds."""
    return {
        (str(path.relative_to(output)), path.read_bytes())
        for path in output.glob("runs/*/*")
        if path.suffix in (".csv", ".md", ".parquet") and path.name != "timings.parquet"
    }


def finished(output: Path) -> dict[str, int]:
    """When each finished cell was written: it changes where one is computed twice."""
    cells = output.glob("cells/[0-9a-f]*/manifest.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in cells}


def harass(overrides: list[str], folder: Path, kills: int, seed: int, together: int) -> list[str]:
    """What went wrong."""
    draw, problems = random.Random(seed), []
    shutil.rmtree(folder / "whole", ignore_errors=True)
    output = folder / "whole" / "out"  # of one name each time: tables may hold it
    output.parent.mkdir(parents=True)
    started = time.perf_counter()
    if not (first := StartedCommand(overrides, output)).wait() or first.code != 0:
        raise SystemExit(f"the undisturbed command failed:\n{(output.parent / 'log').read_text()}")
    whole, seconds = tables(output), time.perf_counter() - started
    count = rounds = 0
    while count < kills:
        output = folder / "killed" / "out"
        shutil.rmtree(output.parent, ignore_errors=True)
        output.parent.mkdir()
        before: dict[str, int] = {}
        ended = False
        while not ended:
            running = [StartedCommand(overrides, output) for _ in range(together)]
            for command in running[: max(1, together - 1)]:
                more = together > 1 or count < kills
                until = time.perf_counter() + draw.uniform(0, seconds) if more else float("inf")
                ended = command.wait(until, output.parent if draw.random() < 0.5 else None)
                if not ended:
                    command.kill()
                    count += 1
            if together > 1:
                ended = running[-1].wait()
            after = finished(output)
            again = [cell for cell, moment in before.items() if after.get(cell) != moment]
            problems += [f"computed twice: {cell}" for cell in again]
            before = after
        if running[-1].code != 0:
            problems.append(f"exit code {running[-1].code}: {(output.parent / 'log').read_text()}")
        problems += sorted(f"{path} differs" for path, _ in tables(output) ^ whole)
        rounds += 1
        print(f"{count} kills, {rounds} rounds, {len(problems)} problems", flush=True)
    return problems


def main(arguments: list[str]) -> int:
    """The command; see the module's docstring."""
    own, _, overrides = " ".join(["", *arguments]).partition(" -- ")
    defaults = {"kills": "50", "seed": "0", "what": "run", "folder": "/tmp/kills"}
    args = defaults | dict(option.partition("=")[::2] for option in own.split())
    if args.keys() != defaults.keys() or args["what"] not in WORKERS:
        print(__doc__, file=sys.stderr)
        return 2
    command = overrides.split() or [*RUN, f"workers={WORKERS[args['what']]}"]
    os.environ |= {"OMP_NUM_THREADS": "1", "SPF_CACHE_DIR": f"{args['folder']}/cache"}
    sys.path.insert(0, str(ROOT))
    for name in LOADED:
        import_module(name)
    folder, together = Path(args["folder"]).absolute(), 4 if args["what"] == "four" else 1
    problems = harass(command, folder, int(args["kills"]), int(args["seed"]), together)
    print("\n".join(problems) or "nothing lost, changed or done twice")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
