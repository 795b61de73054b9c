"""Any outside program as a generator: a service's client, another repository's script."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spf.errors import ClipError, ConfigError, SpfError, UnavailableError
from spf.generators.base import (
    LIMITS,
    Counts,
    GeneratedClip,
    Image,
    OnProgress,
    Request,
    check_warp,
    resize_notes,
    resized,
)
from spf.generators.clock import Clock, ClockWarp, latent_clock
from spf.identity import file_digest
from spf.names import choose, plain
from spf.numbers import number, optional_size
from spf.video import Reader, write_png

PLACEHOLDERS = (
    "first", "last", "prompt", "negative_prompt", "frames", "fps", "seed", "width", "height",
    "output",
)  # fmt: skip
NEEDED = ("first", "last", "output")
EXAMPLE = "'model.command=\"python make.py --first={first} --last={last} --out={output}\"'"
FPS = 24.0
TIMEOUT = 600.0
LAST_LINES = 5
"""Lines of a failed program's stderr that its error shows."""
LETTERS = 500
"""Most letters of them."""
SCRIPT_BYTES = 1 << 20
"""Size up to which a program counts as a script, whose content is part of the identity."""


class Command:
    """First frame + last frame -> clip, by a command for each clip (docs/how-to/regenerate.md).

    command : a template such as `EXAMPLE`, split as a shell would split it but run without one;
    `PLACEHOLDERS` are filled in afterwards, so that each stays within its argument whatever it
    holds. {first} and {last} are PNG files; {output} is where the program writes its clip.
    suffix : of {output}: a video's, or "" for a folder of images. factor, shortest, longest : see
    `Counts`. size : [height, width] of its clips; None is that of the first frame, made even as
    most video formats need. fps : frames a second where a request leaves it open. timeout : seconds
    for each attempt, after which the program and all that it has started are killed. retries :
    further attempts after a failure.

    A clip with another number or size of frames than was asked for is refused.
    """

    name: ClassVar[str] = "command"
    native_size: ClassVar[tuple[int, int]] = (480, 832)
    unwarpable: ClassVar[str] = "nothing is known of what is inside the command"

    def __init__(
        self,
        command: str | None = None,
        suffix: str = ".mp4",
        factor: int = 1,
        shortest: int = 2,
        longest: int | None = None,
        size: Sequence[int] | None = None,
        fps: float = FPS,
        timeout: float = TIMEOUT,
        retries: int = 1,
    ) -> None:
        self.counts = Counts(factor, shortest, longest)
        self.template = [] if command is None else _split(command)
        if not isinstance(suffix, str) or not re.fullmatch(r"(\.[A-Za-z0-9]+)?", suffix):
            raise ConfigError(f'model.suffix={suffix!r} must be one such as .mp4, or ""')
        self.suffix = suffix
        self.fps = number("model.fps", fps, **LIMITS["fps"])
        self.timeout = number("model.timeout", timeout, above=0)
        self.retries = number("model.retries", retries, least=0, whole=True)
        self.size = optional_size("model.size", size)

    def check(self, request: Request | None = None) -> None:
        """Raises ConfigError without a command, UnavailableError where its program is not here."""
        if not self.template:
            raise ConfigError(f"model=command needs a command to run, such as {EXAMPLE}")
        program = self.template[0]
        if shutil.which(program) is None:
            remedy = "install it, or give its path"
            raise UnavailableError(f"model=command: there is no program {program!r}; {remedy}")

    def clock(self, request: Request) -> Clock:
        """Every frame for itself: nothing is known of what is inside."""
        if request.last is None:
            raise ConfigError("model=command needs a first and a last frame; give the last one too")
        return latent_clock(self._count(request), 1)

    def generate(
        self, request: Request, warp: ClockWarp | None = None, on_progress: OnProgress | None = None
    ) -> GeneratedClip:
        """The clip of a request; see `Generator`. `on_progress` is called once, at its end."""
        check_warp(self, warp, self.clock(request))
        self.check()
        asked, notes = self._asked(request)
        for attempts_left in reversed(range(self.retries + 1)):
            try:
                frames = self._attempt(asked)
                break
            except _FailedError as error:
                if not attempts_left:
                    tries = f" ({self.retries + 1} attempts)" if self.retries else ""
                    raise SpfError(f"model=command: {error}{tries}") from None
        self._check_clip(frames, asked)
        if on_progress is not None:
            on_progress(1, 1)
        assert asked.fps is not None
        return GeneratedClip(frames, asked.fps, notes)

    def identity(self) -> dict[str, Any]:
        """The command, and its program and first argument where they are scripts; what these use in
        turn is not known, and further arguments may be files that the program writes."""
        program, *rest = self.template or [""]
        named = [Path(shutil.which(program) or program), *map(Path, rest[:1])]
        scripts = [x for x in named if x.is_file() and x.stat().st_size <= SCRIPT_BYTES]
        return {
            "name": self.name,
            "command": self.template,
            "files": {file.name: file_digest(file) for file in scripts},
            "suffix": self.suffix,
            "size": self.size,
            "fps": self.fps,
        }

    def _count(self, request: Request) -> int:
        counts = self.counts
        least, asked = counts.factor * counts.least + 1, request.num_frames
        count = asked or least
        fits = (count - 1) % counts.factor == 0 and count >= least
        if not fits or (counts.longest is not None and count > counts.longest):
            raise ConfigError(f"model=command: num_frames={count} is not what it makes: {counts}")
        return count

    def _asked(self, request: Request) -> tuple[Request, list[str]]:
        """The request with nothing left open, and what was changed."""
        assert request.last is not None  # the clock has refused that
        height, width, _ = request.first.shape
        size = self.size or (max(height // 2, 1) * 2, max(width // 2, 1) * 2)
        asked = replace(
            request,
            first=resized(request.first, size),
            last=resized(request.last, size),
            num_frames=self._count(request),
            fps=float(request.fps or self.fps),
        )
        return asked, resize_notes(request.first, size)

    def _attempt(self, request: Request) -> Image:
        """Run the program once. Raises _FailedError, one line, where it brings no clip."""
        with tempfile.TemporaryDirectory(prefix="spf-command-") as folder:
            output = Path(folder) / f"clip{self.suffix}"
            frames = Path(folder) / "frames"
            assert request.last is not None
            write_png(frames, [request.first, request.last])
            values = {
                "first": str(frames / "000000.png"),
                "last": str(frames / "000001.png"),
                "prompt": request.prompt,
                "negative_prompt": request.negative_prompt or "",
                "frames": str(request.num_frames),
                "fps": f"{request.fps:.12g}",
                "seed": str(request.seed),
                "width": str(request.first.shape[1]),
                "height": str(request.first.shape[0]),
                "output": str(output),
            }
            _run(_filled(self.template, values), self.timeout, Path(folder) / "stderr.txt")
            if not output.exists():
                raise _FailedError(f"it ended without writing {{output}} (clip{self.suffix})")
            assert request.num_frames is not None
            try:
                with Reader(output) as reader:  # one frame more than asked for, at most
                    images = [image for image, _ in islice(reader, request.num_frames + 1)]
            except ClipError as error:
                raise _FailedError(f"its clip cannot be read: {error.reason}") from None
            return np.stack(images)

    def _check_clip(self, frames: Image, request: Request) -> None:
        assert request.num_frames is not None
        if len(frames) != request.num_frames:
            more = len(frames) > request.num_frames
            found = f"more than {request.num_frames}" if more else str(len(frames))
            raise SpfError(
                f"model=command: its clip has {found} frames, not the {request.num_frames} asked "
                "for; have it follow {frames}, or set what it makes: model.factor, shortest, "
                "longest"
            )
        if frames.shape[1:] != request.first.shape:
            found, asked = (f"{x.shape[-2]}x{x.shape[-3]}" for x in (frames, request.first))
            raise SpfError(
                f"model=command: its clip is {found}, its frames {asked}; have it make the size "
                "of {first}, or set its own: model.size=[height,width]"
            )


class _FailedError(Exception):
    """An attempt without a clip, in one line."""


def _split(command: str) -> list[str]:
    """The arguments of a template. Raises ConfigError for one that cannot work."""
    if not isinstance(command, str):
        raise ConfigError(f"model.command={command!r} must be text, such as {EXAMPLE}")
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"model.command cannot be split ({error}); check its quotes") from None
    used = re.findall(r"\{(\w+)\}", " ".join(arguments))
    for name in used:
        choose(name, PLACEHOLDERS, "placeholder of model.command")
    missing = [f"{{{name}}}" for name in NEEDED if name not in used]
    if missing:
        raise ConfigError(f"model.command lacks {', '.join(missing)}; such as {EXAMPLE}")
    return arguments


def _filled(template: list[str], values: dict[str, str]) -> list[str]:
    """The template's arguments with their placeholders filled in, each once."""
    for name in ("prompt", "negative_prompt"):
        if "\0" in values[name]:
            raise ConfigError(f"{name} holds a null character, which no program can take")
        if f"{{{name}}}" in template and values[name].startswith("-"):
            remedy = f"write --{name}={{{name}}} in model.command"
            raise ConfigError(f"{name} begins with '-' and would be read as an option; {remedy}")
    return [re.sub(r"\{(\w+)\}", lambda found: values[found[1]], part) for part in template]


def _run(arguments: list[str], timeout: float, log: Path) -> None:
    """Run a program to its end, in a process group of its own, which is killed whatever happens.

    log : file for its stderr. Raises _FailedError, with the last lines of that, where it fails,
    cannot be started, or takes too long.
    """
    try:
        with open(log, "wb") as errors:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
    except OSError as error:
        raise _FailedError(f"{arguments[0]} cannot be started ({error.strerror})") from None
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with suppress(ProcessLookupError, PermissionError):  # all have ended, or cannot be ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code == 0:
        return
    with open(log, "rb") as errors:
        errors.seek(max(log.stat().st_size - 4 * LETTERS, 0))  # a letter has up to four bytes
        lines = errors.read().decode("utf-8", "replace").split("\n")
    text = " | ".join([line.strip() for line in lines if line.strip()][-LAST_LINES:])[-LETTERS:]
    last = f"; stderr: {plain(text)}" if text else ""
    if code is None:
        remedy = "raise model.timeout if it needs longer"
        raise _FailedError(f"it took longer than {timeout:g} s and was ended; {remedy}{last}")
    how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
    raise _FailedError(f"it {how}{last}")
