"""Run the commands of docs/quickstart.md and paste what they print.

    python scripts/quickstart.py [PAGE] [--check]

Each line `$ COMMAND` in a block marked `console` is run by bash, from top to bottom, in a temporary
folder that holds a rendered `clip.mp4` and `clips/GENERATOR/PAIR.mp4`; what it prints replaces the
lines below it. Paths into that folder are shown as relative ones, and HASH stands for the hash of
the code in the name of a run. With --check nothing is written: exit code 1, and the difference,
where the page shows something else.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from spf.video import write_mp4
from synthetic.clips import SyntheticClip, content
from synthetic.laws import law

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "quickstart.md"
COLUMNS = 100
CLIP = ("astronaut-coffee-warp", law("sigmoid_jump", place=0.6, steepness=30.0))
PAIRS = (
    "astronaut-coffee-warp", "coffee-rocket-warp", "rocket-galaxies-warp",
    "galaxies-astronaut-warp", "brick-cat-warp", "cat-motorcycle-warp", "motorcycle-page-warp",
)  # fmt: skip
GENERATORS = {
    "steady": law("linear"),
    "late": law("plateau", start=0.0, stop=0.4),
    "leaping": law("sigmoid_jump", place=0.6, steepness=40.0),
}


def render(folder: Path) -> None:
    """Write the clips that the commands are about."""
    clips = {"clip.mp4": (*CLIP, 41)} | {
        f"clips/{generator}/{pair}.mp4": (pair, pacing, 21)
        for (generator, pacing), pair in product(GENERATORS.items(), PAIRS)
    }
    for name, (shown, pacing, num_frames) in clips.items():
        clip = SyntheticClip(content(shown), pacing, num_frames=num_frames, seed=1000)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mp4(path, clip.frames(), fps=clip.fps)


def refreshed(text: str, folder: Path) -> str:
    """The page with the output of its commands, which are run in a folder."""
    lines, console = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            console = line == "```console"
        elif console and not line.startswith("$ "):
            continue  # what a command printed before
        lines.append(line)
        if console and line.startswith("$ "):
            lines += output(line[2:], folder)
    return "\n".join(lines) + "\n"


def output(command: str, folder: Path) -> list[str]:
    """The lines that a command prints, without a terminal, in 100 columns."""
    env = {name: text for name, text in os.environ.items() if not name.startswith("WANDB")} | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT), "SPF_CACHE_DIR": str(folder / ".cache"),
        "COLUMNS": str(COLUMNS), "NO_COLOR": "1", "TERM": "dumb", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    merged = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, check=False, **merged)
    printed = done.stdout.replace(f"{folder}/", "")
    printed = re.sub(r"(/runs/[\w.-]+)-[0-9a-f]{8}\b", r"\1-HASH", printed)
    return [line.rstrip() for line in printed.strip("\n").splitlines()]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Run the commands of a page; paste their output.")
    parser.add_argument("page", nargs="?", type=Path, default=PAGE, metavar="PAGE")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    args = parser.parse_args(arguments)
    text = args.page.read_text()
    with tempfile.TemporaryDirectory() as folder:
        render(Path(folder))
        made = refreshed(text, Path(folder))
    if not args.check:
        args.page.write_text(made)
        return 0
    names = (str(args.page), "what its commands print")
    for line in difflib.unified_diff(text.splitlines(), made.splitlines(), *names, lineterm=""):
        print(line)
    return int(made != text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
