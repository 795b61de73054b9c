"""Kill a run again and again, and prove that nothing is lost, changed or done twice.

    python scripts/kill_harness.py [what=run|sweep|pool|four] [kills=50] [seed=0]
                                   [folder=/tmp/kills] [-- WORDS OF run.py]

run.py starts in a process group of its own, which is killed (SIGKILL) at a moment drawn from the
seed, every other time in the midst of a write, and is started again until it ends by itself. Then
its tables are compared, byte by byte, with those of an undisturbed run, and the next round begins
in an empty folder. `four` starts four commands at once on the same cells, and kills three of them.
Exit code 1 where anything went wrong.
"""

import hashlib
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
SMALL = [
    "benchmark=synthetic_pacing", "benchmark.contents=[shape-drop-gear,moon-tissue-dissolve]",
    "benchmark.seeds=[1000]", "benchmark.num_frames=21", "benchmark.size=[48,48]", "logger=csv",
]  # fmt: skip
RUN = [*SMALL, "embedder=histogram", "benchmark.studies=[floor]"]
SWEEP = [*SMALL, "-m", "embedder=histogram,pixels", "benchmark.studies=[floor],[floor,jumps]"]
WHAT = {
    "run": [*RUN, "workers=1"],
    "pool": [*RUN, "workers=2"],
    "sweep": [*SWEEP, "workers=1"],
    "four": [*RUN, "workers=1"],
}
TOGETHER = {"four": 4}
LOOK = 0.001  # seconds between two looks at a process


class Command:
    """run.py in a forked process that leads a group of its own; its output goes to a file."""

    def __init__(self, words: list[str], output: Path) -> None:
        self.code: int | None = None
        self.pid = os.fork()  # from a process that has loaded the libraries: kills fall on its work
        if self.pid == 0:
            os.setsid()
            os.chdir(output.parent)
            with open(output.parent / "log", "ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.argv = ["run.py", *words, f"output={output.name}"]
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
            time.sleep(LOOK)
        return True

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def empty(folder: Path) -> Path:
    """A new output folder. Its name is the same each time: tables may tell it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder / "out"


def tables(output: Path) -> dict[str, str]:
    """Hash of every table of every run, but for those of seconds, by path."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.glob("runs/*/*"))
        if path.suffix in (".csv", ".md", ".parquet") and path.name != "timings.parquet"
    }


def finished(output: Path) -> dict[str, int]:
    """When each finished cell was written: it changes where one is computed twice."""
    cells = output.glob("cells/[0-9a-f]*/manifest.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in cells}


def harass(words: list[str], folder: Path, kills: int, seed: int, together: int) -> list[str]:
    """What went wrong; the last line says what was done."""
    draw, problems = random.Random(seed), []
    output = empty(folder / "whole")
    started = time.perf_counter()
    first = Command(words, output)
    first.wait()
    if first.code != 0:
        raise SystemExit(f"the undisturbed command failed:\n{(output.parent / 'log').read_text()}")
    whole, seconds = tables(output), time.perf_counter() - started
    count = rounds = 0
    while count < kills:
        output = empty(folder / "killed")
        before: dict[str, int] = {}
        ended = False
        while not ended:
            running = [Command(words, output) for _ in range(together)]
            for command in running[: max(1, together - 1)]:
                last = together == 1 and count >= kills
                until = float("inf") if last else time.perf_counter() + draw.uniform(0, seconds)
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
        problems += [
            f"{name} differs"
            for name, known in (whole | tables(output)).items()
            if (whole.get(name), tables(output).get(name)) != (known, known)
        ]
        rounds += 1
        print(f"{count} kills, {rounds} rounds, {len(problems)} problems", flush=True)
    return problems


def main(arguments: list[str]) -> int:
    """The command; see the module's docstring."""
    given = {"kills": "50", "seed": "0", "what": "run", "folder": "/tmp/kills"}
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    for word in arguments[:cut]:
        name, equals, value = word.partition("=")
        if name not in given or not equals:
            print(f"unknown argument {word!r}; known: {', '.join(given)}", file=sys.stderr)
            return 2
        given[name] = value
    words = arguments[cut + 1 :] or WHAT[given["what"]]
    os.environ |= {"OMP_NUM_THREADS": "1", "SPF_CACHE_DIR": f"{given['folder']}/cache"}
    sys.path.insert(0, str(ROOT))
    for name in LOADED:
        import_module(name)
    folder, together = Path(given["folder"]).absolute(), TOGETHER.get(given["what"], 1)
    problems = harass(words, folder, int(given["kills"]), int(given["seed"]), together)
    print("\n".join(problems) or "nothing lost, changed or done twice")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
