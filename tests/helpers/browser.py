"""Pages in headless Chromium, by Playwright; without it, or axe-core (`npm ci`), tests skip."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright import sync_api

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND"]
AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
TIMEOUT = 60_000
"""Milliseconds that the browser gets for one answer: machines that run tests are busy."""


class Page:
    """Playwright's page, with what it complained of and which other addresses it asked for."""

    def __init__(self, page, address):
        self._page, self._complaints, self._asked = page, [], []
        page.set_default_timeout(TIMEOUT)
        page.on("console", lambda message: self._complaints.append((message.type, message.text)))
        page.on("pageerror", lambda error: self._complaints.append(("error", str(error))))
        page.on("request", lambda request: self._asked.append(request.url))
        page.goto(address)
        self._inside = (address, "data:", "blob:", "about:")

    def __getattr__(self, name):
        return getattr(self._page, name)

    @property
    def console_errors(self):
        self.evaluate("new Promise(done => setTimeout(done))")  # events come in their order
        return [text for kind, text in self._complaints if kind in ("error", "warning", "assert")]

    @property
    def requests(self):
        self.evaluate("new Promise(done => setTimeout(done))")
        return [url for url in self._asked if not url.startswith(self._inside)]

    def until(self, condition):
        """Wait for a condition. (Playwright's own way needs `eval`, which our pages forbid.)"""
        assert self._page.evaluate(
            f"""new Promise(done => {{
              const end = performance.now() + {TIMEOUT};
              const look = () => ({condition}) ? done(true)
                : performance.now() > end ? done(false) : setTimeout(look, 50);
              look();
            }})"""
        ), f"never true: {condition}"

    def resize(self, width, height):
        self._page.set_viewport_size({"width": width, "height": height})

    def emulate(self, dark=False):
        self._page.emulate_media(color_scheme="dark" if dark else "light")

    def press(self, key):
        self._page.keyboard.press(key)


_browsers = []


@contextmanager
def _browser():
    """The one browser of all open pages, which ends with the last: others need asyncio too."""
    if _browsers:
        yield _browsers[0]
        return
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=TIMEOUT)
        _browsers.append(browser)
        try:
            yield browser
        finally:
            _browsers.clear()
            browser.close()


@contextmanager
def open_page(path, width=1280, height=900, fragment=""):
    """A file, loaded, with a profile of its own and a window of that many CSS pixels."""
    if not CHROMIUM:
        pytest.skip("no Chromium here: pages are not driven")
    with _browser() as browser:
        context = browser.new_context(viewport={"width": width, "height": height})
        try:
            yield Page(context.new_page(), Path(path).resolve().as_uri() + fragment)
        finally:
            context.close()


def serious_faults(page):
    """What axe-core finds of impact serious or critical: a line a rule, with the elements."""
    if not AXE.is_file():
        pytest.skip("no axe-core here (npm ci): accessibility is not checked")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {rule['help']}: " + ", ".join(str(node["target"]) for node in rule["nodes"])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


def wide_tables(page):
    return page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(x => x.scrollWidth > x.clientWidth + 1)"
        ".map(x => x.getAttribute('aria-labelledby'))"
    )
