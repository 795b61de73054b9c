"""Throughput of `spf corpus`: clips a second by worker, and what a second worker gains.

`python scripts/bench_corpus.py` encodes clips, measures them with 1 and 2 workers in turns, each
time with as many cores as workers (the driver and Ray's own processes share them), and prints a
table. Seconds are counted from the first rows to the last ones: without the start of Ray, which
takes 10 to 20 s of processor time. On a machine that others use, seconds say little; core-seconds,
those of workers and decoders by the system's accounts, still do. Decoding alone is measured by the
processor time of one process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.bad_clips import encode, moving  # noqa: E402

FRAMES, DISTINCT = 81, 4
SIZES = {"512x512": (512, 512), "1280x720": (720, 1280), "1920x1080": (1080, 1920)}
WORKERS = (1, 2)


def make_clips(folder: Path, count: int) -> Path:
    """A list of `count` clips of 81 frames, 512 x 512, H.264: a few files, each named often."""
    names = []
    for number in range(DISTINCT):
        path = folder / f"{number}.mp4"
        encode(path, "libx264", moving(FRAMES - number, 512, 512), rate=Fraction(16))
        names.append(path.name)
    listing = folder / "list.txt"
    listing.write_text("\n".join(names[number % DISTINCT] for number in range(count)))
    return listing


def measure(listing: Path, workers: int, embedder: str) -> dict[str, float]:
    """In the child: one run with as many cores as workers. Clips, seconds, core-seconds."""
    from spf.corpus.inputs import open_listing
    from spf.corpus.pipeline import Crew, own_stderr
    from spf.corpus.rows import Measuring
    from spf.corpus.run import make_corpus

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:workers])
    seen: list[tuple[float, int, float]] = []
    kept: dict[int, float] = {}

    def note(clips: int) -> None:
        kept.update(worked())  # of those that have ended since, what was last seen
        seen.append((time.perf_counter(), clips, sum(kept.values())))

    with tempfile.TemporaryDirectory() as output, own_stderr():
        make_corpus(
            open_listing(listing), Path(output), Measuring(embedder), Crew(workers), progress=note
        )
    seen = seen[workers:-workers]  # every worker has loaded its embedder, and none has ended
    begin, end = seen[0], seen[-1]
    clips = sum(count for _, count, _ in seen[1:])
    return {"clips": clips, "seconds": end[0] - begin[0], "core_seconds": end[2] - begin[2]}


def worked() -> dict[int, float]:
    """Processor seconds of the workers and their decoders so far, by process."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        try:
            command = " ".join(child.cmdline())
            if command.startswith("ray::MapWorker") or "spf.video.child" in command:
                times = child.cpu_times()
                found[child.pid] = times.user + times.system
        except psutil.Error:
            continue
    return found


def decoded() -> dict[str, float]:
    """Frames a second of processor time, by size: of decoding alone, and of all that a clip costs
    the processor where a GPU has the model (here `pixels`, which has none)."""
    from spf.embedders import load_embedder
    from spf.measurement import measure_clip
    from spf.video import Reader
    from spf.video.guarded import end_idle

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (height, width) in SIZES.items():
            path = Path(folder) / f"{name}.mp4"
            encode(path, "libx264", moving(FRAMES, height, width), rate=Fraction(24))
            taken = []
            for _ in range(3):
                started = time.process_time()
                with Reader(path) as reader:
                    frames = sum(1 for _ in reader)
                taken.append(frames / (time.process_time() - started))
            found[f"decoding alone, {name}"] = statistics.median(taken)
            taken = []
            for _ in range(4):
                end_idle()  # the next decoder is a new process, whose start is not counted
                measure_clip(path, load_embedder("pixels"), guarded=True, pictures=False)
                started = time.process_time() + children()
                done = measure_clip(path, load_embedder("pixels"), guarded=True, pictures=False)
                frames = len(done.curve)
                taken.append(frames / (time.process_time() + children() - started))
            found[f"decode, pipe, prepare, fit, {name}"] = statistics.median(taken)
    return found


def children() -> float:
    """Processor seconds of the children that live."""
    times = [child.cpu_times() for child in psutil.Process().children()]
    return sum(each.user + each.system for each in times)


def child(*words: str) -> dict[str, float]:
    """Run this script for one figure, with one thread a process."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, __file__, *words], env=os.environ | one, stdout=subprocess.PIPE, check=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--embedder", default="tiny")
    parser.add_argument("--listing", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--decode", action="store_true", help="decoding alone")
    given = parser.parse_args()
    if given.listing:
        print(json.dumps(measure(given.listing, given.workers, given.embedder)))
        return 0
    if given.decode:
        print(json.dumps(decoded()))
        return 0
    print(f"embedder {given.embedder}, {FRAMES} frames of 512 x 512 a clip, H.264")
    print("| workers | cores | clips/s | core-s a clip | load before |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    rates: dict[int, list[float]] = {count: [] for count in WORKERS}
    costs: dict[int, list[float]] = {count: [] for count in WORKERS}
    with tempfile.TemporaryDirectory() as folder:
        listing = make_clips(Path(folder), given.clips)
        words = ["--listing", str(listing), "--embedder", given.embedder]
        for _ in range(given.turns):
            for count in WORKERS:
                load = psutil.getloadavg()[0]
                found = child(*words, "--workers", str(count))
                rates[count].append(found["clips"] / found["seconds"])
                costs[count].append(found["core_seconds"] / found["clips"])
                row = f"| {count} | {count} | {rates[count][-1]:.2f} | {costs[count][-1]:.3f} "
                print(f"{row}| {load:.1f} |", flush=True)
    rate, cost = ({n: statistics.median(v) for n, v in kept.items()} for kept in (rates, costs))
    one, two = WORKERS
    print(f"scaling {one} -> {two}: {rate[two] / rate[one] / two * one:.2f} of ideal by the clock")
    print(f"core-seconds a clip, {two} workers over {one}: {cost[two] / cost[one]:.2f}")
    for name, value in child("--decode").items():
        print(f"{name}: {value:.0f} frames per core-second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
