"""A page in headless Chromium, driven through the DevTools protocol over a pipe.

    with open_page(path) as page:
        page.evaluate("document.title")
        assert page.console_errors == page.requests == []

Tests that open a page are skipped, with the reason, where there is no Chromium.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
]  # fmt: skip
PATIENCE = 60.0
"""Seconds that the browser gets for one answer: machines that run tests are busy."""


def open_page(path: str | os.PathLike[str], width: int = 1280, height: int = 900) -> Page:
    """A file, loaded, in a browser of its own, with a window of that many CSS pixels."""
    if not BROWSER:
        pytest.skip("no Chromium here: pages are not driven")
    page = Page(width, height)
    try:
        page.load(Path(path).resolve().as_uri())
    except BaseException:
        page.close()
        raise
    return page


class Page:
    """A loaded page; closing it ends its browser.

    console_errors : errors, warnings, exceptions and violations of the page's policy so far.
    requests : addresses that the page asked for so far, but for itself and data within it.
    """

    def __init__(self, width: int, height: int) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._connect()
        self._count, self._buffer, self._session = 0, b"", ""
        self._events: list[dict[str, Any]] = []
        self._address = ""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        session = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = session["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def load(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        self._address = address
        self._send("Page.navigate", url=address)
        until = time.monotonic() + PATIENCE
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._receive(until))

    def evaluate(self, script: str) -> Any:
        """Value of an expression, or of the promise that it gives, as plain data."""
        answer = self._send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {_said(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    @property
    def console_errors(self) -> list[str]:
        self.evaluate("new Promise(done => setTimeout(done))")  # events come in their order
        found = []
        for event in self._events:
            given = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(_said(given["exceptionDetails"]))
            if event["method"] == "Runtime.consoleAPICalled" and given["type"] in LOUD:
                found.append(" ".join(str(part.get("value")) for part in given["args"]))
            if event["method"] == "Log.entryAdded" and given["entry"]["level"] in LOUD:
                found.append(given["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        self.evaluate("new Promise(done => setTimeout(done))")
        asked = [
            event["params"]["request"]["url"]
            for event in self._events
            if event["method"] == "Network.requestWillBeSent"
        ]
        inside = ("data:", "blob:", "about:")
        return [url for url in asked if url != self._address and not url.startswith(inside)]

    def resize(self, width: int, height: int) -> None:
        """Another window, CSS pixels; a narrow one is a phone's."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def emulate(self, dark: bool = False, media: str = "screen") -> None:
        """Another colour scheme, and media "screen" or "print"."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def press(self, key: str) -> None:
        """A key, as `KeyboardEvent.key` names it: Tab, Enter, ArrowRight ..."""
        known = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowRight": 39, "Escape": 27}
        text = {"Enter": "\r", " ": " "}.get(key)
        code = known[key]
        event = {"key": key, "windowsVirtualKeyCode": code} | ({"text": text} if text else {})
        self._send("Input.dispatchKeyEvent", type="keyDown", **event)
        self._send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def hover(self, x: float, y: float) -> None:
        """Move the pointer, CSS pixels of the window."""
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(
        self,
        file: str | os.PathLike[str],
        width: int,
        height: int,
        dark: bool = False,
        media: str = "screen",
    ) -> None:
        """A PNG of the page from its top in a window of that size."""
        self.resize(width, height)
        self.emulate(dark, media)
        area = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        Path(file).write_bytes(self.capture(area))

    def capture(self, area: dict[str, float]) -> bytes:
        """PNG of an area of the page: x, y, width, height in CSS pixels, and a scale."""
        answer = self._send("Page.captureScreenshot", clip=area, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self, file: str | os.PathLike[str]) -> None:
        """The page as it is printed."""
        answer = self._send("Page.printToPDF", printBackground=True)
        Path(file).write_bytes(base64.b64decode(answer["data"]))

    def _connect(self) -> None:
        """Start the browser; it reads from its descriptor 3 and writes to its descriptor 4."""
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]

        def place() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [BROWSER, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=place,
        )
        for end in (theirs_in, theirs_out, *high):
            os.close(end)

    def _send(self, method: str, **given: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        until = time.monotonic() + PATIENCE
        while (answer := self._receive(until)).get("id") != self._count:
            self._events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _receive(self, until: float) -> dict[str, Any]:
        """The next message; they end with a zero byte."""
        while b"\0" not in self._buffer:
            left = max(0.0, until - time.monotonic())
            assert select.select([self._in], [], [], left)[0], "the browser does not answer"
            data = os.read(self._in, 1 << 16)
            assert data, "the browser ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


LOUD = ("error", "warning", "assert")


def _said(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details["text"])
