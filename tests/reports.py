"""A report of `make reproduce-paper` with hostile names, for the tests of pages."""

from __future__ import annotations

import io
from pathlib import Path

import clips
import numpy as np
from PIL import Image

from benchmarks.harness.cells import Figure, Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.report.page import FIGURES, LONG, make_chapter, make_part, render_report
from benchmarks.harness.report.players import Player, sheet
from benchmarks.paper import Experiment

HOSTILE = (
    "</script><script>document.title='taken'</script>",
    '"><img src=x onerror="document.title=\'taken\'">',
    "{{ 7 * 7 }} & <b>bold</b> 'quoted' \x01\x1b[31m",
)
FRAMES = 23


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((80, 40), 50).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def bright(count: int = FRAMES) -> np.ndarray:
    """Frames (T, 24, 32, 3), each of one grey that tells its number."""
    levels = np.round(np.linspace(20, 240, count)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, 24, 32, 3)).copy()


def player(title: str = HOSTILE[0]) -> Player:
    u = np.linspace(0, 1, FRAMES)
    lines = {"baseline": u**2, HOSTILE[1]: u, "target: linear": u}
    frames = bright()
    return Player(
        title,
        [round(x * 2, 4) for x in u],
        [round(float(x), 4) for x in u],
        {name: [round(float(y), 4) for y in line] for name, line in lines.items()},
        [sheet("baseline", frames), sheet(HOSTILE[1], frames[::-1])],
    )


def write_report(root: Path) -> Path:
    """A report with hostile names wherever names come from outside, and one missing run."""
    folder = RunFolder(root / "runs" / "run")
    columns = ["strategy", "linearity_mae", "settings", "empty"]
    numbers = (0.123456789, 1234.5678, 0.00031234, 3.0, None, float("nan"))
    rows = [
        {"strategy": f"rope {name}", "linearity_mae": value, "settings": "x" * 60, "empty": ""}
        for name, value in zip([*HOSTILE, "d", "e", "f"], numbers, strict=True)
    ]
    many = [{"strategy": str(number), "linearity_mae": float(number)} for number in range(LONG + 1)]
    for number in range(FIGURES + 2):
        folder.write(f"pairs/{number}.png", picture())
    folder.path("films").mkdir(parents=True)
    clips.encode(folder.path("films/a.mp4"), list(bright(12)), options={"crf": "30"})
    figures = [
        Figure(f"pairs/{n}.png", f"alt {HOSTILE[1]}", HOSTILE[0]) for n in range(FIGURES + 2)
    ]
    summary = Summary(
        f"headline {HOSTILE[2]}",
        [
            Section("First", [HOSTILE[2]], [Table.of_rows("retiming", HOSTILE[0], columns, rows)]),
            Section("Pictures", [], [], figures),
            Section("Films", [], [], [Figure("films/a.mp4", "A film", "film")]),
            Section("Rows", [], [Table.of_rows("many", "Many", columns[:2], many)]),
        ],
    )
    folder.write("index.html", "the page of the run")
    part = make_part("tiny", ["benchmark=x y"], summary, folder, [player()])
    done = Experiment(1, "Done", "what the paper says")
    absent = Experiment(2, "Absent", "something")
    chapters = [
        make_chapter(done, "What was found.", ["not run: wan22 is absent"], [part]),
        make_chapter(absent, "Nothing was measured.", ["not run: too large"], []),
    ]
    plan = Table.of_rows(
        "plan", "Plan", ["experiment", "reason"], [{"experiment": 2, "reason": "large"}]
    )
    record = {"embedder": HOSTILE[1], "device": HOSTILE[0], "status": "done"}
    path = root / "report" / "index.html"
    path.parent.mkdir()
    path.write_text(render_report("auto", plan, chapters, [record]), encoding="utf-8")
    return path
