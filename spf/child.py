"""A child process that answers requests, and is killed where it hangs: the decoder, and VBench.

Requests and replies are lines of JSON; bytes may follow a reply. What a child sends is not trusted.
"""

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO, Any

HUNG, SLOW, NONSENSE = "hung", "slow", "sent what is no reply"
LINE = 2**20
"""Bytes of a line of JSON at most, and of what waits in the pipe, where the system allows it."""


class Ended(Exception):
    """The child gives no more: it is gone (no text), took too long, or sent what it must not."""


class Child:
    """`python -m module *arguments`, in a session of its own: Ctrl-C is for the parent.

    environment, folder, errors : of the process, where they are not this one's, none, and nowhere.
    enough : seconds in all for which one request is waited for.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        errors: IO[bytes] | int = subprocess.DEVNULL,
        enough: float = float("inf"),
    ) -> None:
        self._enough = enough
        self._waited = 0.0
        self._rest = b""
        self.process = subprocess.Popen(
            # -P: a folder of clips must not be able to stand in for a module.
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests, self._replies = self.process.stdin, self.process.stdout.fileno()
        os.set_blocking(self._replies, False)
        with suppress(OSError, AttributeError):
            import fcntl

            fcntl.fcntl(self._replies, fcntl.F_SETPIPE_SZ, LINE)

    def ask(self, request: dict[str, Any]) -> None:
        self._waited = 0.0
        with suppress(BrokenPipeError):  # a child that is gone shows when it should reply
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()

    def line(self, seconds: float) -> dict[str, Any]:
        """The next reply, within so many seconds. Raises Ended."""
        until = monotonic() + seconds
        while b"\n" not in self._rest:
            self._wait(until)
            more = os.read(self._replies, 4096)
            if not more:
                raise Ended
            self._rest += more
            if len(self._rest) > LINE:
                raise Ended("sent a line without an end")
        head, _, self._rest = self._rest.partition(b"\n")
        with suppress(ValueError, RecursionError):
            reply = json.loads(head)
            if isinstance(reply, dict):
                return reply
        raise Ended(NONSENSE)

    def fill(self, target: memoryview, seconds: float) -> None:
        """The bytes behind a reply. Raises Ended."""
        until = monotonic() + seconds
        done = min(len(self._rest), len(target))
        target[:done] = self._rest[:done]
        self._rest = self._rest[done:]
        while done < len(target):
            self._wait(until)
            count = os.readv(self._replies, [target[done:]])
            if not count:
                raise Ended
            done += count

    def end(self) -> str:
        """What it died of, where it is dying."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        code = self.process.poll()
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End it, with all that it may have started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def _wait(self, until: float) -> None:
        begun = monotonic()
        ready, _, _ = select.select([self._replies], [], [], max(until - begun, 0.0))
        if not ready:
            raise Ended(HUNG)
        self._waited += monotonic() - begun
        if self._waited > self._enough:
            raise Ended(SLOW)


# The child's side


def requests(at_end: Callable[[], object] = lambda: None) -> Iterator[dict[str, Any]]:
    """The requests on the standard input, as they come.

    at_end : called when the parent is gone, before the process ends, whatever is being computed.
    """
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        at_end()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def replies() -> Callable[..., None]:
    """`send(data=b"", **reply)`; what libraries print goes to the standard error from now on."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def send(data: bytes | memoryview = b"", **reply: Any) -> None:
        output.write(json.dumps(reply, default=str).encode() + b"\n")
        output.write(data)
        output.flush()

    return send
