"""Claims: of several processes that want the same thing, one makes it and the others wait.

A claim is a file that is created atomically (O_CREAT | O_EXCL) and names its holder; a thread of
the holder touches it every few seconds. It is void where the holder is gone from this host, or
where it was not seen to change for long, by the clock of the one who looks: those of other hosts
may differ. Claims spare work and protect nothing: what two processes make at once is waste, and
who records it must see to it that the first one counts.
"""

import json
import os
import secrets
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

BEAT = 2.0  # seconds between two touches
VOID_AFTER = 30.0  # seconds without a touch
TELL_AFTER = 10.0  # seconds of waiting that a person should know of


class Claim:
    """A claim on one thing, taken, waited for or released by this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        holder = {**_home(), "pid": os.getpid(), "started": time.time()}
        self._text = json.dumps(holder | {"token": secrets.token_hex(8)})
        self._released = threading.Event()
        self._waiting = 0.0  # seconds so far
        self._told = False
        self._seen: tuple[bytes, int] | None = None
        self._seen_at = 0.0
        self.was_touched = False
        """Whether another's was seen to change: its holder lives."""

    def take(self) -> bool:
        """Take the claim; False where another holds it. Raises OSError where the disk refuses."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            self.remove_void()
            return False
        try:
            with open(handle, "w") as file:
                file.write(self._text)
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        self._released.clear()
        threading.Thread(target=self._beat, daemon=True).start()
        return True

    def wait(self, what: str) -> None:
        """Wait a moment, longer each time; say so once, where it takes long."""
        moment = min(0.5, 0.02 + self._waiting / 4)
        time.sleep(moment)
        self._waiting += moment
        if self._waiting > TELL_AFTER and not self._told:
            self._told = True
            tell(f"{what}: waiting for another process that makes it ({self.path.name})")

    def release(self) -> None:
        """Give the claim back; one that others took for void and hold now is left to them."""
        self._released.set()
        with suppress(OSError):
            if self._is_mine():
                self._remove(self._text.encode())

    def held_by(self, pid: int) -> bool:
        """Whether the holder is that process of this host."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return _pid_here(self.path.read_bytes()) == pid
        return False

    def _beat(self) -> None:
        while not self._released.wait(BEAT):
            with suppress(OSError):
                if self._is_mine():  # another one's must not live by this process
                    os.utime(self.path)

    def _is_mine(self) -> bool:
        return self.path.read_bytes() == self._text.encode()

    def remove_void(self) -> None:
        """Remove the claim if its holder is gone."""
        try:
            with open(self.path, "rb") as file:  # opening asks a network's server, stat may not
                holder, touched = file.read(), os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return
        gone = False
        with suppress(ValueError, KeyError, TypeError):  # not yet written, or damaged
            pid = _pid_here(holder)
            gone = pid is not None and not _alive(pid)
        if (holder, touched) != self._seen:
            self.was_touched = self._seen is not None
            self._seen, self._seen_at = (holder, touched), time.monotonic()
        if gone or time.monotonic() - self._seen_at > VOID_AFTER:
            with suppress(OSError):
                self._remove(holder)

    def _remove(self, judged: bytes) -> None:
        """Remove the claim that was judged. Renaming lets one of several do so; where it was
        replaced since, the new one is put back."""
        aside = self.path.with_name(f".spf-{secrets.token_hex(8)}.void")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        try:
            if aside.read_bytes() != judged:
                os.link(aside, self.path)
        finally:
            aside.unlink(missing_ok=True)


@lru_cache
def _home() -> dict[str, str]:
    """Where process numbers mean the same: a host since it was started, and a container of it."""
    home = {"host": socket.gethostname(), "boot": "", "container": ""}
    with suppress(OSError):
        home["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        home["container"] = os.readlink("/proc/self/ns/pid")
    return home


def _pid_here(holder: bytes) -> int | None:
    """The process that a claim names, if it is one of this host; else None."""
    named = json.loads(holder)
    here = all(named[name] == value for name, value in _home().items())
    return int(named["pid"]) if here else None


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
