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
from pacings import measure, measured, numbers, pictures, shown

from spf.errors import ConfigError, SpfError, UnavailableError
from spf.generators.base import Request
from spf.generators.command import Command
from spf.pacing.regeneration import Regenerate, regenerate

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


def test_nothing_is_left_behind(outside: Outside) -> None:
    outside.command().generate(REQUEST)
    (call,) = outside.calls
    assert not Path(call[2]).exists()
    assert not Path(call[5]).parent.exists()


def test_a_video_is_read_as_well(tmp_path: Path) -> None:
    from spf.video import write_mp4

    write_mp4(tmp_path / "made.mp4", pictures(np.linspace(0, 1, 9), (16, 16)), 24)
    script = tmp_path / "copy.py"
    script.write_text("import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])")
    words = shlex.join([sys.executable, str(script), str(tmp_path / "made.mp4")])
    frames = pictures([0, 1], (16, 16))
    clip = Command(f"{words} {{output}} {{first}} {{last}}").generate(
        Request(frames[0], frames[1], num_frames=9)
    )
    assert clip.frames.shape == (9, 16, 16, 3)


def test_a_crash_shows_the_last_lines_of_stderr(outside: Outside) -> None:
    with pytest.raises(SpfError) as error:
        outside.command("crash").generate(REQUEST)
    assert str(error.value) == (
        "model=command: it failed with exit code 7; stderr: loading | out of ?[31mcredits"
    )


def test_a_retry_that_succeeds(outside: Outside) -> None:
    clip = outside.command("crash once", retries=1).generate(REQUEST)
    assert len(clip.frames) == 9
    assert len(outside.calls) == 2


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


def test_odd_sizes_are_made_even_and_it_is_said(outside: Outside) -> None:
    first, last = pictures([0.0, 1.0], (9, 13))
    clip = outside.command().generate(Request(first, last, num_frames=5))
    assert clip.frames.shape == (5, 8, 12, 3)
    assert clip.notes == ["frames resized from 13x9 to 12x8"]


def test_a_size_of_its_own(outside: Outside) -> None:
    assert outside.command("small", size=[6, 6]).generate(REQUEST).frames.shape == (9, 6, 6, 3)


def test_a_warp_is_refused(outside: Outside) -> None:
    warp: Any = object()
    with pytest.raises(ConfigError, match="no clock to steer; choose retime=none"):
        outside.command().generate(REQUEST, warp)


def test_numbers_that_it_does_not_make_are_refused(outside: Outside) -> None:
    generator = outside.command(factor=4, shortest=9, longest=17)
    for count in (8, 10, 21):
        with pytest.raises(ConfigError, match=rf"num_frames={count} is not what it makes: 4n \+ 1"):
            generator.clock(Request(FIRST, LAST, num_frames=count))
    assert len(generator.clock(REQUEST).frames) == 9


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


def test_no_command_and_no_program() -> None:
    with pytest.raises(ConfigError, match="model=command needs a command to run"):
        Command().check()
    with pytest.raises(UnavailableError, match="there is no program 'no-such-program'"):
        Command("no-such-program {first} {last} {output}").check()


def test_the_script_is_part_of_its_identity(outside: Outside) -> None:
    before = outside.command().identity()
    assert before == outside.command(timeout=5, retries=4).identity()
    outside.script.write_text(SCRIPT + "# changed")
    assert outside.command().identity() != before


def test_a_template_survives_the_command_line(tmp_path: Path) -> None:
    template = "python make.py --first={first} --last={last} --out={output}"
    config = harness.compose("model=command", f"model.command={template}")
    assert instantiate(config.model).template == shlex.split(template)
    with pytest.raises(ConfigError, match="the quotes would be part of the value; write 'model"):
        harness.compose("model=command", f'model.command="{template}"')


# Regeneration with it

UNEVEN = np.concatenate(
    [np.linspace(0, 0.1, 12), np.linspace(0.3, 0.9, 5), np.linspace(0.92, 1, 8)]
)
SOURCE = pictures(UNEVEN, (8, 8))
CURVE = measured(SOURCE)
SETTINGS = Regenerate("bridge", 1e-3, prompt="a cat")


def test_a_clip_is_regenerated_and_resumed(outside: Outside, tmp_path: Path) -> None:
    """Interrupted before its last segment, it calls the program for that one alone."""
    generator, folder = outside.command(tail="{prompt}"), tmp_path / "segments"
    told: list[str] = []

    def interrupt(stage: str, done: int, total: int | None) -> None:
        _, number, _, count = stage.split()
        told.append(number)
        if told.count(number) == 2 and int(number) == int(count) - 1:  # made, and kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        regenerate(
            SOURCE, CURVE, generator, measure, settings=SETTINGS, folder=folder, watch=interrupt
        )
    before = len(outside.calls)
    done = regenerate(SOURCE, CURVE, generator, measure, settings=SETTINGS, folder=folder)
    count = len(done.plan.pieces)
    assert count > 2
    assert (before, len(outside.calls)) == (count - 1, count)
    assert len(shown(done.best)) == 25
    assert all(call[6] == "a cat" for call in outside.calls)
    ends = numbers(shown(done.best)[[0, -1]])
    assert ends.tolist() == [0, 1]
    assert done.best.target_mae < 0.5 * done.before_target_mae


def test_a_failure_keeps_what_is_finished(outside: Outside, tmp_path: Path) -> None:
    folder = tmp_path / "segments"
    generator = outside.command("crash once")
    with pytest.raises(SpfError, match="credits"):
        regenerate(SOURCE, CURVE, generator, measure, settings=SETTINGS, folder=folder)
    assert not folder.exists() or not list(folder.iterdir())
    regenerate(SOURCE, CURVE, generator, measure, settings=SETTINGS, folder=folder)
    assert all(not file.name.startswith(".") for file in folder.iterdir())


def test_ctrl_c_ends_the_program(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    def interrupted(self: Any, timeout: float | None = None) -> int:
        monkeypatch.undo()
        raise KeyboardInterrupt

    started: list[int] = []
    popen = subprocess.Popen.__init__

    def started_here(self: Any, *words: Any, **more: Any) -> None:
        popen(self, *words, **more)
        started.append(self.pid)

    monkeypatch.setattr(subprocess.Popen, "__init__", started_here)
    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        outside.command("hang").generate(REQUEST)
    assert not alive(started[0])
