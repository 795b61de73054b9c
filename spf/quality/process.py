"""The parent's side of `spf.quality.child`: start it, ask it, end it."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from spf.errors import SpfError
from spf.quality.weights import DINO_WEIGHTS

LOG = "stderr.txt"


class VBenchProcess:
    """VBench in a child process, started when it is first asked; many clips pay for that once.

    files : weights by the names that VBench knows; it sees these and no others. device : cpu or
    cuda:N.
    """

    def __init__(self, files: Mapping[str, Path], device: str) -> None:
        self._files = dict(files)
        self._device = device
        self._child: subprocess.Popen[bytes] | None = None
        self._folder = Path()

    def ask(self, dimension: str, clip: Path, seconds: float) -> dict[str, Any]:
        """The child's reply: {"value": x}, or {"refused": why} where the clip is not taken.

        Raises SpfError, with what the child said last, where it takes longer than `seconds`, dies
        or breaks down; the next request starts another one.
        """
        child = self._child or self._start()
        request = {"dimension": dimension, "clip": str(clip.absolute())}
        try:
            reply = _exchange(child, json.dumps(request).encode() + b"\n", seconds)
            if "broke" not in reply:
                return reply
            why = str(reply["broke"])
        except TimeoutError:
            why = f"it took longer than {seconds:g} s; raise quality.time_limit"
        except (OSError, EOFError, ValueError):
            why = f"the process died ({self._last_words()})"
        except BaseException:  # Ctrl-C: nothing must go on behind our back
            self.close()
            raise
        self.close()
        raise SpfError(f"{clip.name}: VBench's {dimension} broke down: {why}")

    def close(self) -> None:
        """End the child, with all that it may have started."""
        if self._child is None:
            return
        child, self._child = self._child, None
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> "subprocess.Popen[bytes]":
        folder = self._folder = Path(tempfile.mkdtemp(prefix="spf-vbench-"))
        for name, file in self._files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".py":  # run from here, so that no stale bytecode beside it is run
                shutil.copyfile(file, folder / name)
            else:
                (folder / name).symlink_to(file)
        # DINO's own code looks for its weights where torch.hub keeps files.
        checkpoints = folder / "hub" / "checkpoints"
        checkpoints.mkdir(parents=True)
        (checkpoints / Path(DINO_WEIGHTS).name).symlink_to(folder / DINO_WEIGHTS)
        environment = os.environ | {
            "VBENCH_CACHE_DIR": str(folder),
            "TORCH_HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "1",  # as in the workers of a run; sums are rounded otherwise too
            "HF_HUB_OFFLINE": "1",
        }
        with open(folder / LOG, "wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.child", str(folder), self._device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        return self._child

    def _last_words(self) -> str:
        """The last line that the child wrote, and what it died of."""
        assert self._child is not None
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(1)
        code = self._child.poll()
        ended = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        with suppress(OSError):
            lines = (self._folder / LOG).read_text(errors="replace").split("\n")
            said = [" ".join(line.split()) for line in lines if line.strip()]
            if said:
                return f"{ended}: {said[-1][:200]}"
        return ended


def _exchange(child: "subprocess.Popen[bytes]", request: bytes, seconds: float) -> dict[str, Any]:
    """Send a line, wait for one. Raises TimeoutError, OSError or ValueError where none comes."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(request)
    child.stdin.flush()
    reply, end = b"", time.monotonic() + seconds
    while not reply.endswith(b"\n"):
        left = max(0.0, end - time.monotonic())
        if not select.select([child.stdout], [], [], left)[0]:
            raise TimeoutError
        part = os.read(child.stdout.fileno(), 65536)
        if not part:
            raise EOFError
        reply += part
    found = json.loads(reply)
    if not isinstance(found, dict):
        raise ValueError("no reply")
    return found
