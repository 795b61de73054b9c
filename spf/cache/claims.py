"""Claims: of several processes that want the same entry, one computes it and the others wait.

A claim is a file that is created atomically (O_CREAT | O_EXCL) and names its holder; a thread of
the holder touches it every few seconds. It is void where the holder is gone from this host, or
where it was not touched for long. Claims spare work and protect nothing: two processes that compute
at once are waste, never wrong.
"""

import json
import os
import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

BEAT = 2.0  # seconds between two touches
VOID_AFTER = 30.0  # seconds without a touch
TELL_AFTER = 10.0  # seconds of waiting that a person should know of


class Claim:
    """A claim on one entry, taken, waited for or released by this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.time()}
        self._text = json.dumps(holder | {"token": secrets.token_hex(8)})
        self._released = threading.Event()
        self._waiting = 0.0  # seconds so far
        self._told = False
        self._touched = 0
        self._touched_at = 0.0

    def take(self) -> bool:
        """Take the claim; False where another holds it. Raises OSError where the disk refuses."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            if self._void():
                self.path.unlink(missing_ok=True)
            return False
        try:
            with open(handle, "w") as file:
                file.write(self._text)
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        threading.Thread(target=self._beat, daemon=True).start()
        return True

    def wait(self, what: str) -> None:
        """Wait a moment, longer each time; say so once, where it takes long."""
        moment = min(0.5, 0.02 + self._waiting / 4)
        time.sleep(moment)
        self._waiting += moment
        if self._waiting > TELL_AFTER and not self._told:
            self._told = True
            tell(f"{what}: waiting for another process that embeds it ({self.path.name})")

    def release(self) -> None:
        """Give the claim back; one that others took for void and hold now is left to them."""
        self._released.set()
        with suppress(OSError):
            if self.path.read_text() == self._text:
                self.path.unlink()

    def _beat(self) -> None:
        while not self._released.wait(BEAT):
            with suppress(OSError):
                os.utime(self.path)

    def _void(self) -> bool:
        """Whether the holder is gone. The time without a touch is taken by this process' own clock:
        those of other hosts differ."""
        try:
            holder, touched = self.path.read_bytes(), self.path.stat().st_mtime_ns
        except OSError:
            return False
        with suppress(ValueError, KeyError, TypeError):  # not yet written, or damaged
            named = json.loads(holder)
            if named["host"] == socket.gethostname() and not _alive(int(named["pid"])):
                return True
        if touched != self._touched:
            self._touched, self._touched_at = touched, time.monotonic()
        return time.monotonic() - self._touched_at > VOID_AFTER


def tell(line: str) -> None:
    """A line for the person, above the progress bars."""
    from tqdm import tqdm

    plain = "".join(letter if letter.isprintable() else "?" for letter in line)
    tqdm.write(plain, file=sys.stderr)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True
