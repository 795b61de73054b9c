"""The page of a run in a real browser: it sorts, shows its pictures, and complains of nothing."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from typing import Any

import harness
import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
]  # fmt: skip

# Runs before the page's own script, and reports after it.
WATCH = """<script>
window.found = {errors: [], violations: []};
addEventListener("error", event => found.errors.push(event.message || "resource"), true);
addEventListener("securitypolicyviolation", event => found.violations.push(event.blockedURI));
for (const name of ["error", "warn"]) console[name] = (...words) => found.errors.push(words.join());
</script>"""
REPORT = """<script>
addEventListener("load", () => {
  const table = [...document.querySelectorAll("table")].at(-1);
  const heads = [...table.tHead.rows[0].cells];
  const names = heads.map(head => head.innerText.trim());
  const column = index => [...table.tBodies[0].rows].map(row => row.cells[index].innerText.trim());
  found.names = names;
  found.sorted = {};
  for (const [index, head] of heads.entries()) {
    const orders = [column(index)];
    for (const click of [1, 2]) {
      head.querySelector("button").click();
      orders.push(column(index), head.getAttribute("aria-sort"));
    }
    found.sorted[names[index]] = orders;
  }
  found.pictures = [...document.images].map(image => (image.scrollIntoView(), image.src.length));
  found.wide = document.documentElement.scrollWidth - innerWidth;
  const made = document.createElement("pre");
  made.id = "found";
  made.textContent = JSON.stringify(found);
  document.body.append(made);
});
</script>"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser says of the page of a run with numbers, words, gaps and a failure."""
    if not BROWSER:
        pytest.skip("no Chromium here: the page is not driven")
    root = tmp_path_factory.mktemp("page")
    clips = harness.layout(
        root / "clips",
        {
            "b": {"p10": harness.steady(12, 0), "p9": harness.steady(100, 1)},
            "a": {"p10": harness.jumping(24, 2), "p9": harness.still()},
            "<i>c</i>".replace("/", "∕"): {"p10": harness.jumping(9, 3)},
        },
    )
    (clips / "b" / "empty.mp4").write_bytes(b"")
    run = harness.run(clips, root / "out")
    text = (run.folder.root / "index.html").read_text()
    assert text.count("<head>") == text.count("</body>") == 1
    copy = root / "copy.html"
    copy.write_text(text.replace("<head>", f"<head>{WATCH}").replace("</body>", f"{REPORT}</body>"))
    command = [BROWSER, *FLAGS, f"--user-data-dir={root / 'profile'}", "--dump-dom", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, f"the browser gave no answer: {done.stderr[-500:]}"
    return json.loads(html.unescape(match[1]))


def test_nothing_is_complained_of(found: dict[str, Any]) -> None:
    assert found["errors"] == []
    assert found["violations"] == []


def test_the_page_fits_its_window(found: dict[str, Any]) -> None:
    assert found["wide"] <= 0  # wide tables scroll in themselves


def test_pictures_are_in_the_page(found: dict[str, Any]) -> None:
    assert len(found["pictures"]) == 5 + 2
    assert min(found["pictures"]) > 1000


@pytest.mark.parametrize("name", ["frames", "linearity mae ↓", "total change", "duration"])
def test_numbers_sort_as_numbers(found: dict[str, Any], name: str) -> None:
    before, up, word_up, down, word_down = found["sorted"][name]
    assert sorted(before) == sorted(up) == sorted(down)
    assert (word_up, word_down) == ("ascending", "descending")
    numbers = sorted(float(text) for text in before if text)
    gaps = [""] * (len(before) - len(numbers))  # nothing comes last, whichever way
    assert gaps
    assert [float(text) if text else "" for text in up] == numbers + gaps
    assert [float(text) if text else "" for text in down] == numbers[::-1] + gaps


@pytest.mark.parametrize("name", ["generator", "status", "pair"])
def test_words_sort_as_words(found: dict[str, Any], name: str) -> None:
    before, up, _, down, _ = found["sorted"][name]
    assert len(set(before)) > 1
    assert sorted(before) == sorted(up) == sorted(down)
    assert up == down[::-1] or len(set(before)) < len(before)
    if name == "status":
        assert up == sorted(up)
        assert down == sorted(up, reverse=True)
    if name == "generator":
        assert [word for word in up if word in "ab"] == ["a", "a", "b", "b", "b"]


def test_numbers_of_100_come_after_those_of_24(found: dict[str, Any]) -> None:
    """The order of words would be 100, 12, 24, 9."""
    _, up, *_ = found["sorted"]["frames"]
    assert up[:5] == ["9", "12", "12", "24", "100"]
