"""Let every file operation of a run fail, one after the other, and prove that nothing is lost.

    python scripts/fault_harness.py [what=leaderboard|synthetic] [kinds=write,rename,...]
                                    [sample=N] [seed=0] [folder=/tmp/faults]

Each attempt is run.py in a process forked from one that has loaded the libraries, in which the k-th
call of one kind (scripts/fault_injection.py) in the output and cache folders fails; for every k,
until the command ends without reaching it (`sample=N`: for N of a kind, drawn from the seed). It
starts from an empty folder, and again from a finished run. Of each attempt is asked:

- it ends, with a documented exit code: 0 or 1, and 2 where the output folder cannot be made;
- it says at most one line beyond those of an undisturbed run, and one of the cache, and shows no
  traceback;
- tables that are there are those of an undisturbed run, unless a cell failed; cells are whole;
- nothing half-written is left, unless removing is what failed;
- started again, without faults, it ends with 0 and the tables of an undisturbed run, byte by byte,
  and computes no cell that was finished, unless a file of it was cut.

Clips are decoded in the run's own process and plots are blank, so that an attempt takes about a
second. Prints a table by kind; exit code 1 where anything was not as it must be.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from fault_injection import KINDS, Injector
from kill_harness import LOADED, SMALL, Command, computations, tables, whole_cells

ROOT = Path(__file__).resolve().parent.parent
WHAT = {
    "leaderboard": ["benchmark=leaderboard", "model=folder"],
    "synthetic": [*SMALL, "benchmark.contents=[moon-tissue-dissolve]", "benchmark.studies=[floor]"],
}
USUAL = ["embedder=histogram", "logger=csv", "workers=1"]
CODES = (0, 1, 2)
PATIENCE = 60.0  # seconds after which a command counts as hung
EXPECTED = re.compile(r"(plan: |\d+ of \d+ clips measured|Group |No two |With |out/runs/[\w-]+$)")
"""Lines that an undisturbed run prints."""
STATES = ("empty", "finished")


@dataclass
class Tally:
    """What became of the faults of one kind: attempts, exit codes, cells computed once more."""

    kind: str
    attempts: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    again: int = 0
    problems: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A row of the table in docs/reliability.md."""
        ended = " | ".join(str(self.codes[code]) for code in CODES)
        right = self.attempts - len(self.problems)
        what = KINDS[self.kind].what
        return f"| {what} | {self.attempts} | {ended} | {self.again} | {right} |"


@dataclass
class Attempt:
    """How a command ended: its exit code (None: hung), what it said beyond the usual, whether the
    fault was reached, and where."""

    code: int | None
    said: list[str]
    where: str


class Harness:
    """A command with `output=`, and the folder in which it is started again and again."""

    def __init__(self, words: Sequence[str], folder: Path, say: Callable[[str], object]) -> None:
        self.words = words
        self.folder = folder
        self.say = say
        self.place = folder / "faults"
        self.counts: dict[tuple[str, bool], dict[str, int]] = {}
        self.output = self.place / "out"
        self._start_from("empty")
        ended = self._attempt(None)
        if ended.code != 0 or ended.said:
            raise SystemExit(f"the undisturbed command failed: {ended}")
        self.whole = tables(self.output)
        self.cells = whole_cells(self.output)
        self.finished = folder / "finished"
        shutil.rmtree(self.finished, ignore_errors=True)
        self._copy(self.place, self.finished)

    def run(self, kind: str) -> Tally:
        """Every fault of one kind, from either state."""
        tally = Tally(kind)
        for state in STATES:
            number = 1
            while self._try(tally, state, number):
                number += 1
        return tally

    def sample(self, kind: str, count: int, draw: random.Random) -> Tally:
        """Some faults of one kind."""
        tally = Tally(kind)
        calls = [
            (state, number)
            for state in STATES
            for number in range(1, self._reachable(state, kind) + 1)
        ]
        for state, number in draw.sample(calls, min(count, len(calls))):
            self._try(tally, state, number)
        return tally

    def _reachable(self, state: str, kind: str) -> int:
        """How many calls an undisturbed run makes that a fault of this kind may strike."""
        known = (state, kind == "cut")  # which strikes records alone
        if known not in self.counts:
            self._start_from(state)
            found = self.place / "counts"
            injector = Injector(kind, 0, [])
            self._attempt(injector, lambda: found.write_text(json.dumps(injector.counts)))
            self.counts[known] = json.loads(found.read_text())
        return self.counts[known].get(KINDS[kind].call, 0)

    def _try(self, tally: Tally, state: str, number: int) -> bool:
        """One attempt and the start after it; whether the fault was reached."""
        kind = tally.kind
        self._start_from(state)
        first = self._attempt(Injector(kind, number, []))
        if not first.where:
            return False
        tally.attempts += 1
        tally.codes[-1 if first.code is None else first.code] += 1
        problems = [*self._after_fault(kind, first), *self._damage()]
        kept = whole_cells(self.output)
        between = len(computations(self.output))
        second = self._attempt(None)
        if second.code != 0:
            problems.append(f"started again it ended with {second.code}: {second.said}")
        problems += self._differences()
        begun = computations(self.output)
        at_start = self.cells if state == "finished" else set()
        first_time = begun[len(at_start) : between]
        again = sum(identity in at_start for identity in first_time)
        again += len(first_time) - len(set(first_time))
        again += sum(identity in kept for identity in begun[between:])
        tally.again += again
        if again > (kind == "cut"):
            problems.append(f"{again} finished cells computed again")
        if problems:
            where = f"{kind} {number} from {state}, {first.where}"
            tally.problems.append(f"{where}: {'; '.join(problems)}; it said {first.said}")
            self.say(tally.problems[-1])
        return True

    def _after_fault(self, kind: str, ended: Attempt) -> Iterator[str]:
        if ended.code not in CODES:
            yield f"exit code {ended.code}"
        lines = [line for line in ended.said if not line.startswith("cache: ")]
        if len(lines) > 1 or len(ended.said) - len(lines) > 1 or (ended.code and not lines):
            yield f"{len(ended.said)} lines"
        if any("Traceback" in line for line in ended.said):
            yield "a traceback"
        left = [path.name for path in self.place.rglob(".spf-*")]
        if left and kind != "remove":
            yield f"left behind: {left}"
        failed = any(line.startswith("failed: ") for line in ended.said)
        if not failed:
            found = tables(self.output)
            different = [name for name in found if found[name] != self.whole.get(name)]
            if different:
                yield f"tables differ: {different}"

    def _damage(self) -> Iterator[str]:
        """Cells under their own names that are not whole."""
        for record in self.output.glob("cells/[0-9a-f]*/record.json"):
            try:
                stored = json.loads(record.read_bytes())
                checksum = stored.pop("checksum")
                plain = json.dumps(stored, sort_keys=True).encode()
                names = stored["files"].values()
                right = {name: _hash((record.parent / name).read_bytes()) for name in names}
            except (OSError, ValueError, KeyError) as error:
                yield f"{record}: {error}"
                continue
            if _hash(plain) != checksum or any(name != found for name, found in right.items()):
                yield f"{record} is damaged"

    def _differences(self) -> list[str]:
        found = tables(self.output)
        names = sorted(self.whole.keys() | found.keys())
        return [f"{name} differs" for name in names if self.whole.get(name) != found.get(name)]

    def _attempt(
        self, injector: Injector | None, at_end: Callable[[], object] = lambda: None
    ) -> Attempt:
        log, reached = self.place / "log", self.place / "reached"
        for path in (log, reached):
            path.unlink(missing_ok=True)
        before: Callable[[], object] = partial(self._prepare, injector, reached, at_end)
        command = Command(self.words, self.output, before=before)
        until = time.monotonic() + PATIENCE
        while command.running() and time.monotonic() < until:
            time.sleep(0.002)
        code = None if command.running() else command.code
        command.kill()
        said = [line for line in log.read_text().splitlines() if line.strip()]
        where = reached.read_text() if reached.exists() else ""
        return Attempt(code, [line for line in said if not EXPECTED.match(line)], where)

    def _prepare(
        self, injector: Injector | None, reached: Path, at_end: Callable[[], object]
    ) -> None:
        """In the process of an attempt."""
        cache = self.place / "cache"
        os.environ["SPF_CACHE_DIR"] = str(cache)
        if injector is None:
            return
        records = injector.kind == "cut"  # what a run reads back with a checksum
        injector.folders = [self.output / "cells" if records else self.output, cache]
        injector.tell = partial(_note, os.open(reached, os.O_CREAT | os.O_WRONLY))
        injector.__post_init__()
        injector.install()
        _at_exit(at_end)

    def _start_from(self, state: str) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        if state == "finished":
            self._copy(self.finished, self.place)
        self.place.mkdir(parents=True, exist_ok=True)

    def _copy(self, source: Path, target: Path) -> None:
        """A copy that keeps hard links between its files."""
        places: dict[int, Path] = {}
        for path in sorted(source.rglob("*")):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                continue
            earlier = places.setdefault(path.stat().st_ino, place)
            if earlier == place:
                shutil.copy2(path, place)
            else:
                os.link(earlier, place)


def _note(handle: int, line: str) -> None:
    os.write(handle, line.encode())


def _at_exit(call: Callable[[], object]) -> None:
    """Call it before the process of an attempt ends."""
    end = os._exit

    def ended(code: int) -> None:
        call()
        end(code)

    os._exit = ended  # type: ignore[assignment]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_clips(folder: Path) -> Path:
    """Two generators with a clip each, made of random colours."""
    import numpy as np

    from spf.video import write_mp4

    draw = np.random.default_rng(0)
    first, last = (draw.integers(0, 256, (4, 4, 3)).repeat(8, 0).repeat(8, 1) for _ in "ab")
    for name, power in (("even", 1.0), ("late", 3.0)):
        shares = np.linspace(0.0, 1.0, 12) ** power
        frames = [np.rint(first + share * (last - first)).astype(np.uint8) for share in shares]
        write_mp4(folder / name / "pair.mp4", frames, 12)
    return folder


def load(**replaced: Any) -> None:
    """Import what a run needs, once; leave out the decoder's process and the plots."""
    for name in (*LOADED, "benchmarks.leaderboard.experiment"):
        import_module(name)
    from benchmarks.leaderboard import figures
    from benchmarks.running.provenance import commit, versions
    from benchmarks.scoring import measuring
    from spf import measurement
    from spf.video import Reader

    commit()
    versions()
    measurement.GuardedReader = Reader  # type: ignore[misc, assignment]
    figures.plot_overlay = lambda *_: b"plot"
    measuring.plot_measurement = lambda *_: b"plot"


def main(arguments: list[str]) -> int:
    """The command; see the module's docstring."""
    given = {
        "what": "leaderboard",
        "kinds": ",".join(KINDS),
        "sample": "0",
        "seed": "0",
        "folder": "/tmp/faults",
    }
    for word in arguments:
        name, equals, value = word.partition("=")
        if name not in given or not equals:
            print(f"unknown argument {word!r}; known: {', '.join(given)}", file=sys.stderr)
            return 2
        given[name] = value
    if unknown := set(given["kinds"].split(",")) - KINDS.keys():
        print(f"unknown kinds {sorted(unknown)}; known: {', '.join(KINDS)}", file=sys.stderr)
        return 2
    folder = Path(given["folder"]).absolute()
    sys.path.insert(0, str(ROOT))
    os.environ["OMP_NUM_THREADS"] = "1"
    load()
    words = [*WHAT[given["what"]], *USUAL]
    if given["what"] == "leaderboard":
        words.append(f"model.path={make_clips(folder / 'clips')}")
    harness = Harness(words, folder, partial(print, flush=True))
    draw = random.Random(int(given["seed"]))
    tallies = []
    sample = int(given["sample"])
    for kind in given["kinds"].split(","):
        tallies.append(harness.sample(kind, sample, draw) if sample else harness.run(kind))
        print(tallies[-1].row(), flush=True)
    problems = sum(len(tally.problems) for tally in tallies)
    injected = sum(tally.attempts for tally in tallies)
    print(f"{injected} faults, {injected - problems} as expected, {problems} problems")
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
