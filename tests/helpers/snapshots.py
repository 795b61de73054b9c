"""Small committed tables of what the commands compute on rendered clips: tests/snapshots.

    python tests/helpers/snapshots.py    renews them; `git diff tests/snapshots` shows what moved

A change that is meant to move no number shows no difference.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOTS = ROOT / "tests" / "snapshots"
CONTENTS = (
    "cat-motorcycle-dissolve", "moon-tissue-dissolve", "shape-drop-gear", "rocket-galaxies-warp",
    "colour-pink-teal", "count-4-11",
)  # fmt: skip
STEEPNESS = {"even": 0.0, "slow": 12.0, "jumpy": 60.0}
"""Generator -> how suddenly the change of its clips comes."""
BOARD = ("leaderboard", "clips", "leaderboard_comparisons", "leaderboard_metrics")
STUDY = ("preferences", "bradley_terry", "raters", "by_pacing", "sample_size")


def render(folder: Path) -> Path:
    """folder/GENERATOR/PAIR.mp4: 21 frames of 48 x 48 a clip, each of its own pacing."""
    from spf.video import write_mp4
    from synthetic.clips import SyntheticClip, content
    from synthetic.laws import law

    for name, steepness in STEEPNESS.items():
        for number, pair in enumerate(CONTENTS):
            place = 0.3 + 0.08 * number
            pacing = (
                law("sigmoid_jump", place=place, steepness=steepness + number)
                if steepness
                else law("linear")
            )
            clip = SyntheticClip(content(pair), pacing, num_frames=21, size=(48, 48), fps=12.0)
            path = folder / name / f"{pair}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mp4(path, list(clip.frames()), 12)
    return folder


def spf_command(*args: str) -> str:
    """What a command prints to stdout; AssertionError unless it ends with 0."""
    from spf.cli import main

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main([*args])
    assert code == 0, (args, printed.getvalue())
    return printed.getvalue()


def experiment(output: Path, *overrides: str) -> Path:
    import harness

    from benchmarks.harness import session

    run = session.run(harness.compose(*overrides, f"output={output}"), quiet=True)
    assert run.code == 0, overrides
    return run.folder.root


def analyze(clips: Path) -> dict[str, pd.DataFrame]:
    rows = json.loads(spf_command("analyze", str(clips), "--embedder=tiny", "--json"))["rows"]
    stretches = [{"clip": row["clip"], **one} for row in rows for one in row.pop("stretches")]
    return {"analyze": pd.json_normalize(rows), "stretches": pd.DataFrame(stretches)}


def retime(clips: Path, folder: Path) -> dict[str, pd.DataFrame]:
    """What `spf retime` writes down of a clip, by each method; and the time map."""
    found, maps = [], {}
    for method, target in (("nearest", "linear"), ("blend", "ease_in_out"), ("flow", "linear")):
        clip = clips / "slow" / f"{CONTENTS[0]}.mp4"
        out = folder / f"{method}.mp4"
        options = (f"--method={method}", f"--target={target}", "--embedder=tiny")
        spf_command("retime", str(clip), f"--out={out}", "--check-embedder=histogram", *options)
        report = json.loads(out.with_suffix(".json").read_text())
        maps[method] = report.pop("time_map")["source_time"]
        found.append(pd.json_normalize(report))
    return {"retime": pd.concat(found), "time_maps": pd.DataFrame(maps)}


def corpus(clips: Path, folder: Path) -> dict[str, pd.DataFrame]:
    spf_command("corpus", str(clips), str(folder), "--embedder=tiny", "--workers=1")
    rows = pd.concat(pd.read_parquet(path) for path in sorted(folder.glob("*.parquet")))
    return {"corpus": rows.sort_values("path")}


def board(clips: Path, folder: Path) -> dict[str, pd.DataFrame]:
    options = ("benchmark=leaderboard", "embedder=tiny", "model=folder", f"model.path={clips}")
    tables = experiment(folder, *options)
    return {
        f"board_{name.removeprefix('leaderboard_')}": pd.read_csv(tables / f"{name}.csv")
        for name in BOARD
    }


def study(clips: Path, folder: Path) -> dict[str, pd.DataFrame]:
    """Tables of a user study that four raters answered, who prefer what the key calls even."""
    import raters

    from benchmarks.user_study.experiment import KEY
    from benchmarks.user_study.trials import EVEN, Study

    options = ("benchmark=user_study", "embedder=tiny", "model=folder", f"model.path={clips}")
    key = Study.from_key((experiment(folder / "asked", *options) / KEY).read_bytes())
    sent = folder / "answers"
    sent.mkdir()

    def choose(number, shown):
        left, place = shown.trial.clips[shown.left], key.arranged(f"rater{number}").index(shown)
        likes = left == EVEN if shown.trial.check else left == "even" or place % 4 == number
        return "left" if likes else "right"

    for number in range(4):
        answers = raters.answers(key, f"rater{number}", functools.partial(choose, number))
        (sent / f"rater{number}.json").write_text(json.dumps(answers))
    tables = experiment(folder / "answered", *options, f"benchmark.answers={sent}")
    return {f"user_study_{name}": pd.read_csv(tables / f"{name}.csv") for name in STUDY}


def make(folder: Path, names: Path) -> None:
    """All snapshots, as CSV in `names`; clips and runs under `folder`."""
    clips = render(folder / "clips")
    made = analyze(clips) | retime(clips, folder) | corpus(clips, folder / "corpus")
    made |= board(clips, folder / "board") | study(clips, folder / "study")
    names.mkdir(parents=True, exist_ok=True)
    for name, table in made.items():
        # encoders differ by processor
        table = table.drop(columns=["path", "sha256"], errors="ignore")
        text = table.to_csv(index=False, float_format="%.6g").replace(f"{folder}/", "")
        (names / f"{name}.csv").write_text(text)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SPF_CACHE_DIR"] = str(Path(scratch) / "cache")
        shutil.rmtree(SNAPSHOTS, ignore_errors=True)
        make(Path(scratch), SNAPSHOTS)
