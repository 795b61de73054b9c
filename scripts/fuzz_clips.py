"""Measure bad clips in bulk: each becomes a row or a reason, never a hang, a crash or a traceback.

`python scripts/fuzz_clips.py --count 500 --out DIR` has `bad_clips.py` write the clips, measures
each as the leaderboard does (decoding in a process of its own), writes DIR/fuzz.csv, and prints how
they ended, the longest time, and the largest memory of this process and of those that decode.
`--start` and `--stop` measure a part. With `--compare`, `spf compare DIR/clips` measures them.
Exit code: 1 where a clip ended otherwise than as measured or failed with one line of reason.
"""

import argparse
import csv
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from spf.embedders import load_embedder  # noqa: E402
from spf.errors import ClipError  # noqa: E402
from spf.measurement import measure_clip  # noqa: E402
from spf.video.guarded import end_idle  # noqa: E402

LOOK = 0.02  # seconds between two looks at the memory of processes


def peak(pid: int | str) -> float:
    """The largest resident memory of a process since its program began, MB; 0 when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


class Watch(threading.Thread):
    """Looks at the memory of this process's children, with the clip of the moment."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.clip = ""
        self.largest = (0.0, "")

    def run(self) -> None:
        while True:
            for list_ in Path("/proc/self/task").glob("*/children"):
                with suppress(OSError):
                    for pid in list_.read_text().split():
                        self.largest = max(self.largest, (self._decoder(pid), self.clip))
            time.sleep(LOOK)

    @staticmethod
    def _decoder(pid: str) -> float:
        """A child between fork and exec still has this process's memory."""
        with suppress(OSError):
            if b"spf.video.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return peak(pid)
        return 0.0


def measure(path: Path) -> tuple[str, str]:
    """How a clip ended, and why."""
    try:
        found = measure_clip(path, load_embedder("pixels"), guarded=True)
    except ClipError as error:
        text = str(error)
        return ("failed", text) if "\n" not in text and text.isprintable() else ("wrong", text)
    except Exception as error:  # what must never be
        return "wrong", f"{type(error).__name__}: {error}"
    finite = bool(np.isfinite(found.curve.progress).all() and np.isfinite(found.curve.times).all())
    return ("measured", "") if finite else ("wrong", "its curve is not finite")


def kind(reason: str) -> str:
    """A reason without its clip, its remedy and its numbers."""
    plain = reason.rpartition("; ")[0].split(": ", 1)[-1]
    plain = re.sub(r"^\S+\.(png|jpg|webp) is", "an image is", plain)
    return re.sub(r"\d+", "N", plain)


def measure_all(paths: list[Path], root: Path) -> list[dict[str, Any]]:
    """A row for each clip."""
    watch = Watch()
    watch.start()
    rows: list[dict[str, Any]] = []
    for path in paths:
        watch.clip = str(path.relative_to(root))
        started = time.perf_counter()
        ended, reason = measure(path)
        seconds = round(time.perf_counter() - started, 2)
        reason = reason.replace(str(path), path.name)
        rows.append({"clip": watch.clip, "ended": ended, "reason": reason, "seconds": seconds})
    end_idle()
    slowest = max(rows, key=lambda row: row["seconds"])
    print(f"longest {slowest['seconds']:.1f} s ({slowest['clip']})")
    print(f"largest decoder {watch.largest[0]:.0f} MB (by {watch.largest[1]})")
    print(f"this process {peak('self'):.0f} MB")
    return rows


def compare(root: Path) -> list[dict[str, Any]]:
    """The rows of `spf compare` on the clips."""
    import pandas as pd

    words = ["-m", "spf.cli", "compare", str(root / "clips"), "--out", str(root / "results")]
    done = subprocess.run(
        [sys.executable, *words, "--embedder", "pixels", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"spf compare: exit code {done.returncode}")
    if "Traceback" in done.stdout + done.stderr:
        print(done.stderr[-2000:], file=sys.stderr)
    (table,) = (root / "results").glob("runs/*/records.parquet")
    return [ended_row(row) for row in pd.read_parquet(table).to_dict("records")]


def ended_row(record: dict[str, Any]) -> dict[str, Any]:
    """How a record of the leaderboard ended; `wrong` for what must never be."""
    clip, reason = f"{record['model']}/{record['clip']}", record["reason"] or ""
    good = {
        "done": (record.get("frames") or 0) > 0,
        "failed": "; " in reason and reason.isprintable(),
    }
    ended = {"done": "measured", "failed": "failed"}.get(record["status"], "wrong")
    if not good.get(record["status"]) or "unexpected" in reason:
        ended = "wrong"
    failed = reason if record["status"] != "done" else ""  # others' reason: no semantic change
    return {"clip": clip, "ended": ended, "reason": failed, "seconds": ""}


def main() -> int:
    """Read the command line, have the clips made, measure them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first clip")
    parser.add_argument("--stop", type=int, help="number behind the last clip")
    parser.add_argument("--compare", action="store_true", help="measure by `spf compare`")
    given = parser.parse_args()
    root = given.out.resolve()
    if not (root / "clips").exists():
        # In a process of its own: the memory that it takes is not to be counted here.
        maker = [sys.executable, str(ROOT / "scripts" / "bad_clips.py"), str(root)]
        subprocess.run([*maker, f"--count={given.count}", f"--seed={given.seed}"], check=True)
    paths = sorted((root / "clips").glob("*/*"), key=lambda path: path.name)
    paths = paths[given.start : given.stop]
    rows = compare(root) if given.compare else measure_all(paths, root / "clips")
    with open(root / "fuzz.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    counts = Counter(row["ended"] for row in rows)
    print(f"{len(rows)} clips: {counts['measured']} measured, {counts['failed']} failed, rows in ")
    print(f"{root / 'fuzz.csv'}")
    for reason, count in Counter(
        kind(row["reason"]) for row in rows if row["ended"] == "failed"
    ).most_common():
        print(f"{count:5d}  {reason}")
    for row in rows:
        if row["ended"] == "wrong":
            print(f"wrong: {row['clip']}: {row['reason']}", file=sys.stderr)
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
