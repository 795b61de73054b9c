"""model=command, driven by a small Python script that stands for an outside generator."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
from hydra.utils import instantiate
from pacings import pictures

import spf
from spf.errors import ConfigError, SpfError
from spf.generators.base import Request
from spf.generators.command import Command
from spf.video import load

SCRIPT = """
import json, os, pathlib, subprocess, sys, time
from PIL import Image
log, how, first, last, frames, output, *rest = sys.argv[1:]
calls = pathlib.Path(log)
count = len(calls.read_text().splitlines()) if calls.exists() else 0
with open(calls, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if how == "crash" or how == "crash once" and count == 0:
    sys.stderr.write("loading\\nout of \\x1b[31mcredits\\n")
    sys.exit(7)
if how == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    calls.with_name("children").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)
if how == "nothing":
    sys.exit(0)
if how == "rubbish":
    pathlib.Path(output).write_bytes(b"no clip at all, but some bytes")
    sys.exit(0)
ends = [Image.open(path).convert("RGB") for path in (first, last)]
if how == "small":
    ends = [image.resize((6, 6)) for image in ends]
made = int(frames) + {"more": 1, "fewer": -1}.get(how, 0)
os.mkdir(output)
for k in range(made):
    Image.blend(*ends, k / (made - 1)).save(os.path.join(output, f"{k:03d}.png"))
"""

FIRST, LAST = pictures([0.0, 1.0], (8, 12))
REQUEST = Request(FIRST, LAST, prompt="a cat; $(rm -rf .) 'becomes' {seed}", seed=5, num_frames=9)


class Outside:
    """The script, where it logs, and a `Command` that runs it."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "make clip.py"
        self.script.write_text(SCRIPT)
        self.log = folder / "calls"

    def command(self, how: str = "well", tail: str = "", **settings: Any) -> Command:
        words = [sys.executable, str(self.script), str(self.log), how]
        template = f"{shlex.join(words)} {{first}} {{last}} {{frames}} {{output}} {tail}"
        return Command(template, **{"suffix": "", "retries": 0, **settings})

    @property
    def calls(self) -> list[list[str]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside(tmp_path)


def test_a_clip_comes_back(outside: Outside) -> None:
    clip = outside.command().generate(REQUEST)
    assert clip.frames.shape == (9, 8, 12, 3)
    assert np.array_equal(clip.frames[[0, -1]], np.stack([FIRST, LAST]))
    assert (clip.fps, clip.notes) == (24.0, [])


def test_each_placeholder_stays_within_its_argument(outside: Outside) -> None:
    """Spaces, quotes, shell signs and other placeholders in a prompt are letters like others."""
    tail = "--prompt={prompt} {fps} {seed} {width}x{height} '{not one' {{}}"
    request = Request(FIRST, LAST, REQUEST.prompt, seed=5, num_frames=9, fps=7.5)
    outside.command(tail=tail).generate(request)
    (call,) = outside.calls
    assert call[6:] == [f"--prompt={REQUEST.prompt}", "7.5", "5", "12x8", "{not one", "{{}}"]
    assert call[4] == "9"


def test_a_crash_shows_the_last_lines_of_stderr(outside: Outside) -> None:
    with pytest.raises(SpfError) as error:
        outside.command("crash").generate(REQUEST)
    assert str(error.value) == (
        "model=command: it failed with exit code 7; stderr: loading | out of ?[31mcredits"
    )


def test_retries_end(outside: Outside) -> None:
    with pytest.raises(SpfError, match=r"\(3 attempts\)$"):
        outside.command("crash", retries=2).generate(REQUEST)
    assert len(outside.calls) == 3


def test_one_that_never_ends_is_killed_with_all_that_it_started(outside: Outside) -> None:
    with pytest.raises(SpfError, match=r"took longer than 2 s and was ended; raise model.timeout"):
        outside.command("hang", timeout=2).generate(REQUEST)
    children = outside.log.with_name("children")
    assert children.exists(), "the time limit was too short to start it"
    for process in map(int, children.read_text().split()):
        deadline = time.monotonic() + 10
        while alive(process) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not alive(process)


def alive(process: int) -> bool:
    """Whether a process runs; one that is dead and not yet collected does not."""
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("how", "suffix", "message"),
    [
        ("more", "", r"its clip has more than 9 frames, not the 9 asked for; have it follow"),
        ("fewer", "", r"its clip has 8 frames, not the 9 asked for"),
        ("small", "", r"its clip is 6x6, its frames 12x8; have it keep the size"),
        ("nothing", "", r"it ended without writing \{output\}"),
        ("rubbish", ".mp4", r"its clip cannot be read: "),
    ],
)
def test_what_comes_back_is_checked(outside: Outside, how: str, suffix: str, message: str) -> None:
    with pytest.raises(SpfError, match=message) as error:
        outside.command(how, suffix=suffix).generate(REQUEST)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"command": "make {first} {last}"}, r"lacks \{output\}; such as"),
        ({"command": "make {first} {last} {outptu}"}, "unknown placeholder .*did you mean output"),
        ({"command": "make '{first}"}, "cannot be split"),
        ({"command": 3}, "must be text"),
        ({"suffix": "mp4"}, "model.suffix='mp4'"),
        ({"suffix": "/../x"}, "model.suffix="),
        ({"size": [64]}, "model.size="),
        ({"size": [64, 0]}, "model.size="),
        ({"timeout": 0}, "model.timeout=0"),
        ({"fps": float("nan")}, "model.fps="),
        ({"retries": -1}, "model.retries=-1"),
        ({"factor": 0}, "factor=0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Command(**settings)
    assert "\n" not in str(error.value)


def test_what_it_cannot_do_is_said(outside: Outside) -> None:
    warp: Any = object()
    for act, message in (
        (Command().check, "model=command needs a command to run"),
        (
            lambda: outside.command().generate(REQUEST, warp),
            "model=command: its clock cannot be warped: .*; choose retime=none",
        ),
        (
            lambda: outside.command(factor=4).clock(Request(FIRST, LAST, num_frames=10)),
            r"num_frames=10 is not what it makes: 4n \+ 1",
        ),
        (Command("no-such-program {first} {last} {output}").check, "there is no program 'no-such"),
    ):
        with pytest.raises(SpfError, match=message):
            act()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("--evil", "begins with '-' and would be read as an option"), ("a\0b", "a null character")],
)
def test_prompts_that_no_argument_can_hold_are_refused(
    outside: Outside, prompt: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        outside.command(tail="{prompt}").generate(Request(FIRST, LAST, prompt, num_frames=9))
    assert outside.calls == []


def test_a_template_survives_the_command_line(tmp_path: Path) -> None:
    template = "python make.py --first={first} --last={last} --out={output}"
    config = harness.compose("model=command", f"model.command={template}")
    assert instantiate(config.model).template == shlex.split(template)
    with pytest.raises(ConfigError, match="the quotes would be part of the value; write 'model"):
        harness.compose("model=command", f'model.command="{template}"')


def test_a_clip_is_regenerated_and_resumed(outside: Outside, tmp_path: Path) -> None:
    """Interrupted before its last segment, it calls the program for that one alone."""
    clip = harness.save(tmp_path / "clip.mp4", harness.slow_ends(25))
    told: list[str] = []

    def interrupt(stage: str, done: int, total: int | None) -> None:
        if not stage.startswith("segment"):
            return
        _, number, _, count = stage.split()
        told.append(number)
        if told.count(number) == 2 and int(number) == int(count) - 1:  # made, and kept
            raise KeyboardInterrupt

    def retimed(**more: Any) -> spf.Retimed:
        generator = outside.command(tail="{prompt}")
        return spf.retime(
            clip, tmp_path / "out.mp4", method="regenerate", generator=generator,
            embedder="pixels", check=None, prompt="a cat", **more,
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        retimed(on_progress=interrupt)
    before = len(outside.calls)
    done = retimed()
    count = int(told[-1]) + 1
    assert count > 2
    assert (before, len(outside.calls)) == (count - 1, count)
    assert all(call[6] == "a cat" for call in outside.calls)
    made = load(done.out).frames
    assert len(made) == 25
    assert harness.uneven(made) < harness.uneven(load(clip).frames) / 2
