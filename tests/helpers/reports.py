"""A report of `make reproduce-paper` with hostile names, for the tests of pages."""

import io

import clips
import harness
import numpy as np
from PIL import Image

from benchmarks.harness.cells import Figure, Interval, Section, Summary, Table
from benchmarks.harness.folder import RunFolder
from benchmarks.harness.report import reproduction_page as pages
from benchmarks.harness.report.players import ComparedPair, Player, make_take
from benchmarks.harness.reproduction.claims import claims
from benchmarks.paper import Experiment

HOSTILE = (
    "</script><script>document.title='taken'</script>",
    '"><img src=x onerror="document.title=\'taken\'">',
    "{{ 7 * 7 }} & <b>bold</b> 'quoted' \x01\x1b[31m",
)
FRAMES = 23


def picture():
    Image.effect_noise((80, 40), 50).convert("RGB").save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def bright(count=FRAMES):
    """Frames (T, 24, 32, 3), each of one grey that tells its number."""
    levels = np.round(np.linspace(20, 240, count)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, 24, 32, 3)).copy()


def player(title=HOSTILE[0]):
    """Two pairs of the plain clip, the paper's method, and another one; frames of one run forwards,
    of the next backwards."""
    u = [round(float(x), 4) for x in np.linspace(0, 1, FRAMES)]
    frames = bright()
    takes = {
        "none": make_take([x * x for x in u], "0.2", frames),
        "rope (authors_code)": make_take([round(x**1.5, 4) for x in u], "0.1", frames[::-1]),
        HOSTILE[1]: make_take(u, "0.0", frames),
    }
    pairs = [ComparedPair(name, [2 * x for x in u], u, u, takes) for name in (title, "other")]
    return Player("linearity_mae", "linear", HOSTILE[1], pairs)


def retimed(strategy, value, interval):
    return {
        "strategy": strategy, "measure": HOSTILE[1], "pairs": 16, "better": "15 of 16",
        "difference": value - 0.2, "difference_95": interval, "against_authors_95": interval,
        "before_linearity_mae": 0.2, "linearity_mae": value,
        "linearity_mae_95": Interval(0.01, 0.02),
        "true_linearity_mae": value + 0.1, "before_true_linearity_mae": 0.3,
        "generator": HOSTILE[0],
    }  # fmt: skip


def write_report(root):
    folder = RunFolder(root / "runs" / "run")
    columns = ["strategy", "linearity_mae", "settings", "empty"]
    numbers = (0.123456789, 1234.5678, 0.00031234, 3.0, None, float("nan"))
    rows = [
        {"strategy": f"rope {name}", "linearity_mae": value, "settings": "x" * 60, "empty": ""}
        for name, value in zip([*HOSTILE, "d", "e", "f"], numbers, strict=True)
    ]
    warped = [
        retimed(strategy, value, Interval(*ends))
        for strategy, value, ends in (
            ("none", 0.2, (0, 0)), ("rope (authors_code)", 0.15, (-0.06, -0.04)),
            ("rope_flat", 0.01, (-0.2, -0.1)), ("flow", 0.12, (-0.04, -0.02)),
        )
    ]  # fmt: skip
    note = "linearity_mae: how uneven. empty: nothing."
    many = [{"strategy": str(n), "linearity_mae": float(n)} for n in range(pages.OPEN_ROWS + 1)]
    paths = [f"plots/{number}.png" for number in range(pages.FIGURES + 2)]
    for path in paths:
        folder.write(path, picture())
    folder.path("shown").mkdir(parents=True)
    clips.encode(folder.path("shown/a.mp4"), list(bright(12)), options={"crf": "30"})
    table = Table.of_rows
    sections = [
        Section("First", [HOSTILE[2]], [table("retiming", HOSTILE[0], [*warped[0]], warped)]),
        Section("Numbers", [], [table("numbers", "Numbers", columns, rows, note)]),
        Section("More numbers", [], [table("numbers", "More", columns, rows, note)]),
        Section("Images", [], [], [Figure(x, f"alt {HOSTILE[1]}", HOSTILE[0]) for x in paths]),
        Section("Films", [], [], [Figure("shown/a.mp4", "A film", "film")]),
        Section("Rows", [], [table("many", "Many", columns[:2], many)]),
    ]
    summary = Summary(f"headline {HOSTILE[2]}", sections)
    part = pages.make_part("tiny", ["benchmark=x y"], summary, folder, player())
    done = Experiment(1, "Done", "what the paper says")
    absent = Experiment(2, "Absent", "something"), claims(2, []), ["Nothing was measured."]
    left_out = ["not run: wan22 is absent"]
    chapters = [
        pages.Chapter(done, claims(1, [part.tables]), ["What was found."], left_out, [part]),
        pages.Chapter(*absent, ["not run: too large"], []),
    ]
    left_out = [{"what": "wan22", "reason": "too large"}]
    missing = table("not_run", "What was not run", ["what", "reason"], left_out)
    record = {"embedder": HOSTILE[1], "device": HOSTILE[0], "status": "done"}
    page = harness.touch(root, "report/index.html") / "report" / "index.html"
    page.write_text(pages.render_report("auto", chapters, missing, [record]), encoding="utf-8")
    return page
