"""The parent's side of `spf.quality.child`: start it, ask it, end it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from spf.child import HUNG, Child, Ended
from spf.errors import SpfError
from spf.quality.weights import HUB_WEIGHTS

LOG = "stderr.txt"


class VBenchProcess:
    """VBench in a child process, started when it is first asked; many clips pay for that once.

    files : weights by the names that VBench knows; it sees these and no others. device : cpu or
    cuda:N.
    """

    def __init__(self, files: Mapping[str, Path], device: str) -> None:
        self._files = dict(files)
        self._device = device
        self._child: Child | None = None
        self._folder = Path()

    def ask(
        self, dimension: str, clip: Path, seconds: float, about: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The child's reply: {"value": x}, or {"refused": why} where the clip is not taken.

        about : what a dimension looks at beside the clip: `image`, a path, or `camera`, a motion.

        Raises SpfError, with what the child printed last, where it takes more than `seconds`, dies
        or breaks down; the next request starts another one.
        """
        child = self._child or self._start()
        try:
            child.ask({"dimension": dimension, "clip": str(clip.absolute()), **(about or {})})
            reply = child.line(seconds)
            if "broke" not in reply:
                return reply
            why = str(reply["broke"])
        except Ended as end:
            if end.why == HUNG:
                why = f"it took longer than {seconds:g} s; raise quality.time_limit"
            else:
                why = f"it {end.why}" if end.why else f"the process died ({self._last_line()})"
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
        child.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> Child:
        folder = self._folder = Path(tempfile.mkdtemp(prefix="spf-vbench-"))
        for name, file in self._files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".py":  # run from here, so that no stale bytecode beside it is run
                shutil.copyfile(file, folder / name)
            else:
                (folder / name).symlink_to(file)
        checkpoints = folder / "hub" / "checkpoints"
        checkpoints.mkdir(parents=True)
        for name in HUB_WEIGHTS:
            (checkpoints / Path(name).name).symlink_to(folder / name)
        environment = os.environ | {
            "VBENCH_CACHE_DIR": str(folder),
            "TORCH_HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "1",  # as in the workers of a run; sums are rounded otherwise too
            "HF_HUB_OFFLINE": "1",
        }
        with open(folder / LOG, "wb") as log:
            self._child = Child(
                f"{__package__}.child",
                str(folder),
                self._device,
                environment=environment,
                folder=folder,
                errors=log,
            )
        return self._child

    def _last_line(self) -> str:
        """The last line that the child wrote, and what it died of."""
        assert self._child is not None
        ended = self._child.end()
        with suppress(OSError):
            lines = (self._folder / LOG).read_text(errors="replace").split("\n")
            printed = [" ".join(line.split()) for line in lines if line.strip()]
            if printed:
                return f"{ended}: {printed[-1][:200]}"
        return ended
