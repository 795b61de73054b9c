"""Kill a run, or a sweep, again and again, and prove that nothing is lost, changed or done twice.

    python scripts/kill_harness.py [what=run|sweep|crew|four] [kills=50] [seed=0]
                                   [folder=/tmp/kills] [-- WORDS OF run.py]

Each attempt starts run.py in a process group of its own and kills the group (SIGKILL) at a moment
drawn from the seed, within the time that an undisturbed command takes; every other time it waits
for a write from there, and kills in the midst of it. The process is forked from one that has loaded
the libraries, so that kills fall on its work and not on its imports. A command that ends by itself
closes a round: its tables are compared, byte by byte, with those of the undisturbed one, and the
next round begins in an empty folder. `four` starts four processes at once on the same cells, and
kills two of them. Exit code 1 where anything went wrong.
"""

import hashlib
import json
import os
import random
import runpy
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOADED = (
    "benchmarks.session",
    "benchmarks.synthetic_pacing",
    "matplotlib.pyplot",
    "pyarrow",
)
SMALL = [
    "benchmark=synthetic_pacing",
    "benchmark.contents=[shape-drop-gear,moon-tissue-dissolve]",
    "benchmark.seeds=[1000]",
    "benchmark.num_frames=21",
    "benchmark.size=[48,48]",
    "logger=csv",
]
WHAT = {
    "run": [*SMALL, "embedder=histogram", "benchmark.studies=[floor]", "workers=1"],
    # Of the four jobs, two and two share cells.
    "sweep": [
        *SMALL,
        "-m",
        "embedder=histogram,pixels",
        "benchmark.studies=[floor],[floor,jumps]",
        "workers=1",
    ],
    "four": [*SMALL, "embedder=histogram", "benchmark.studies=[floor]", "workers=1"],
    "crew": [*SMALL, "embedder=histogram", "benchmark.studies=[floor]", "workers=2"],
}
TABLES = (".csv", ".md", ".parquet")
TIMED = ("timings.parquet",)
LOOK = 0.001  # seconds between two looks for a write


@dataclass
class Report:
    """What the kills did; `problems` is empty where nothing was lost, changed or done twice."""

    kills: int = 0
    survived: int = 0
    during_writes: int = 0
    rounds: int = 0
    computations: int = 0
    begun_again: int = 0
    duplicates: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"survived {self.survived} of {self.kills} kills, {self.during_writes} of them beside "
            f"a write; rounds {self.rounds}, computations {self.computations}, begun again after "
            f"a kill {self.begun_again}, "
            f"finished cells computed twice {self.duplicates}, problems {len(self.problems)}"
        )


@dataclass
class Harness:
    """A command, where it writes, and how it is killed. The command gets `output=`."""

    words: Sequence[str]
    folder: Path
    seed: int = 0
    say: Callable[[str], object] = print

    def run(self, kills: int) -> Report:
        """Kill so often; then let the last round end."""
        report = Report()
        draw = random.Random(self.seed)
        whole, seconds = self._undisturbed()
        self.say(f"undisturbed: {seconds:.1f} s, {len(whole)} tables")
        while report.kills < kills:
            self._round(report, draw, kills, whole, seconds)
        return report

    def run_together(self, kills: int, processes: int = 4) -> Report:
        """Rounds of several processes on the same cells, all but two of which are killed."""
        report = Report()
        draw = random.Random(self.seed)
        whole, seconds = self._undisturbed()
        self.say(f"undisturbed: {seconds:.1f} s, {len(whole)} tables")
        while report.kills < kills:
            output = self._empty("killed")
            running = [Command(self.words, output, f"log{k}") for k in range(processes)]
            before = report.kills, len(report.problems)
            moments = sorted(draw.uniform(0.0, seconds) for _ in range(processes - 2))
            started = time.perf_counter()
            for process, moment in zip(running, moments, strict=False):
                while process.running() and time.perf_counter() < started + moment:
                    time.sleep(LOOK)
                if process.running():
                    process.kill()
                    report.kills += 1
            codes = [process.wait() for process in running[processes - 2 :]]
            self._close(report, before, output, max(codes), whole)
            # Who was killed may have begun one cell that another process had to begin again.
            begun = computations(output)
            twice = len(begun) - len(set(begun)) - (report.kills - before[0])
            if twice > 0:
                report.duplicates += twice
                report.problems.append(f"{twice} cells computed twice")
            self.say(str(report))
        return report

    def _undisturbed(self) -> tuple[dict[str, str], float]:
        output = self._empty("whole")
        started = time.perf_counter()
        process = Command(self.words, output)
        if process.wait() != 0:
            raise SystemExit(f"the undisturbed command failed:\n{process.log.read_text()}")
        return tables(output), time.perf_counter() - started

    def _round(
        self,
        report: Report,
        draw: random.Random,
        kills: int,
        whole: dict[str, str],
        seconds: float,
    ) -> None:
        """From an empty folder to the end of the command, with as many kills as it takes."""
        output = self._empty("killed")
        before = report.kills, len(report.problems)
        finished: set[str] = set()
        counted = 0
        while True:
            last = report.kills >= kills
            moment = None if last else draw.uniform(0.0, seconds)
            ended = self._attempt(output, moment, draw.random() < 0.5, report)
            begun = computations(output)
            fresh = begun[counted:]
            again = finished.intersection(fresh) or {
                identity for identity, count in Counter(fresh).items() if count > 1
            }
            report.duplicates += len(again)
            if again:
                report.problems.append(f"computed twice: {sorted(again)}")
            counted, finished = len(begun), finished | whole_cells(output)
            if ended is not None:
                break
        self._close(report, before, output, ended, whole)
        self.say(str(report))

    def _close(
        self,
        report: Report,
        before: tuple[int, int],
        output: Path,
        code: int,
        whole: dict[str, str],
    ) -> None:
        """The end of a round: its figures, and its tables against the undisturbed ones."""
        begun = computations(output)
        report.rounds += 1
        report.computations += len(begun)
        report.begun_again += len(begun) - len(set(begun))
        if code != 0:
            report.problems.append(f"exit code {code}")
        found = tables(output)
        for name in sorted(whole.keys() | found.keys()):
            if whole.get(name) != found.get(name):
                report.problems.append(f"{name} differs")
        if len(report.problems) == before[1]:
            report.survived += report.kills - before[0]

    def _attempt(
        self, output: Path, moment: float | None, at_write: bool, report: Report
    ) -> int | None:
        """Start the command and kill it; its exit code where it ended before."""
        process = Command(self.words, output)
        until = None if moment is None else time.perf_counter() + moment
        while process.running():
            late = until is not None and time.perf_counter() >= until
            if late and (not at_write or writing(output)):
                process.kill()
                report.kills += 1
                report.during_writes += at_write
                return None
            time.sleep(LOOK)
        return process.wait()

    def _empty(self, name: str) -> Path:
        # The command's words, with the output's name, are part of what tables may tell.
        output = self.folder / name / "out"
        shutil.rmtree(output.parent, ignore_errors=True)
        output.parent.mkdir(parents=True)
        return output


class Command:
    """run.py in a forked process that leads a group of its own; its output goes to a file.

    before : called in that process, before run.py.
    """

    def __init__(
        self,
        words: Sequence[str],
        output: Path,
        log: str = "log",
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self.log = output.parent / log
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            os.chdir(output.parent)
            with open(self.log, "ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.argv = ["run.py", *words, f"output={output.name}"]
            try:
                before()
                runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
            except SystemExit as end:
                os._exit(int(end.code or 0))
            finally:
                os._exit(99)  # a traceback was printed

    def running(self) -> bool:
        """Whether it has not ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is None

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        while self.running():
            time.sleep(LOOK)
        assert self.code is not None
        return self.code

    def kill(self) -> None:
        """SIGKILL to the group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def writing(output: Path) -> bool:
    """Whether something is half-written."""
    places = ("cells/.spf-*", "runs/*/.spf-*", "runs/*/*/.spf-*")
    return any(True for place in places for _ in output.glob(place))


def tables(output: Path) -> dict[str, str]:
    """Hash of every table of every run, but for those of seconds, by path."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.glob("runs/*/*"))
        if path.suffix in TABLES and path.name not in TIMED
    }


def computations(output: Path) -> list[str]:
    """Identities of the cells whose computation was begun, in order."""
    try:
        return [line.split()[0] for line in (output / "cells/computations.log").open()]
    except FileNotFoundError:
        return []


def whole_cells(output: Path) -> set[str]:
    """Identities of the finished cells."""
    found = set()
    for path in output.glob("cells/*/record.json"):
        if path.parent.name.startswith("."):
            continue
        if json.loads(path.read_bytes())["record"]["status"] == "done":
            found.add(path.parent.name)
    return found


def main(arguments: list[str]) -> int:
    """The command; see the module's docstring."""
    given = {"kills": "50", "seed": "0", "what": "run", "folder": "/tmp/kills"}
    own, words = arguments, None
    if "--" in arguments:
        cut = arguments.index("--")
        own, words = arguments[:cut], arguments[cut + 1 :]
    for word in own:
        name, equals, value = word.partition("=")
        if name not in given or not equals:
            print(f"unknown argument {word!r}; known: {', '.join(given)}", file=sys.stderr)
            return 2
        given[name] = value
    command = words or WHAT[given["what"]]
    os.environ |= {"OMP_NUM_THREADS": "1", "SPF_CACHE_DIR": f"{given['folder']}/cache"}
    sys.path.insert(0, str(ROOT))
    for name in LOADED:
        import_module(name)
    say = lambda line: print(line, flush=True)  # noqa: E731
    harness = Harness(command, Path(given["folder"]).absolute(), int(given["seed"]), say)
    run = harness.run_together if given["what"] == "four" else harness.run
    report = run(int(given["kills"]))
    for problem in report.problems:
        print(problem)
    return int(bool(report.problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
