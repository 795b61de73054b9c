"""model=command, driven by a small Python script that stands for an outside generator."""

import json
import shlex
import sys
import time

import harness
import numpy as np
import psutil
import pytest
from clips import refused
from hydra.utils import instantiate

from spf.cli import main
from spf.errors import SpfError
from spf.generators.base import Request
from spf.generators.command import Command
from spf.video import load

SCRIPT = """
import json, os, pathlib, subprocess, sys, time
from PIL import Image
log, how, first, last, frames, output, *rest = sys.argv[1:]
calls = pathlib.Path(log)
with open(calls, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if how == "crash":
    sys.stderr.write("loading\\nout of \\x1b[31mcredits\\n")
    sys.exit(7)
if how == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    calls.with_name("children").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)
if how == "rubbish":
    pathlib.Path(output).write_bytes(b"no clip at all, but some bytes")
if how in ("nothing", "rubbish"):
    sys.exit(0)
ends = [Image.open(path).convert("RGB") for path in (first, last)]
if how == "small":
    ends = [image.resize((6, 6)) for image in ends]
made = int(frames) + {"more": 1, "fewer": -1}.get(how, 0)
os.mkdir(output)
for k in range(made):
    Image.blend(*ends, k / (made - 1)).save(os.path.join(output, f"{k:03d}.png"))
"""

FIRST = np.zeros((8, 12, 3), np.uint8)
LAST = FIRST + np.array([255, 255, 0], np.uint8)
PROMPT = "a cat; $(rm -rf .) 'becomes' {seed}"
REQUEST = Request(FIRST, LAST, PROMPT, seed=5, num_frames=9, fps=7.5)


class Outside:
    def __init__(self, folder):
        self.script, self.log = folder / "make clip.py", folder / "calls"
        self.script.write_text(SCRIPT)

    def command(self, how="well", tail="", **settings):
        words = [sys.executable, str(self.script), str(self.log), how]
        template = f"{shlex.join(words)} {{first}} {{last}} {{frames}} {{output}} {tail}"
        return Command(template, **{"suffix": "", "retries": 0, **settings})

    @property
    def calls(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def outside(tmp_path):
    return Outside(tmp_path)


def test_a_clip_comes_back_and_each_placeholder_stays_within_its_argument(outside):
    tail = "--prompt={prompt} {fps} {seed} {width}x{height} '{not one' {{}}"
    clip = outside.command(tail=tail).generate(REQUEST)
    assert clip.frames.shape == (9, 8, 12, 3)
    assert np.array_equal(clip.frames[[0, -1]], np.stack([FIRST, LAST]))
    assert (clip.fps, clip.notes) == (7.5, [])
    (call,) = outside.calls
    assert call[6:] == [f"--prompt={PROMPT}", "7.5", "5", "12x8", "{not one", "{{}}"]
    assert call[4] == "9"
    assert outside.command().generate(Request(FIRST, LAST, num_frames=9)).fps == 24.0


def test_retries_end(outside):
    with pytest.raises(SpfError) as error:
        outside.command("crash", retries=2).generate(REQUEST)
    said = "it failed with exit code 7; stderr: loading | out of ?[31mcredits (3 attempts)"
    assert str(error.value) == f"model=command: {said}"
    assert len(outside.calls) == 3


def alive(processes):
    found = [x for x in psutil.process_iter(["status"]) if x.pid in processes]
    return [x for x in found if x.info["status"] != psutil.STATUS_ZOMBIE]


def test_one_that_never_ends_is_killed_with_all_that_it_started(outside):
    with pytest.raises(SpfError, match=r"took longer than 2 s and was ended; raise model.timeout"):
        outside.command("hang", timeout=2).generate(REQUEST)
    children = outside.log.with_name("children")
    assert children.exists(), "the time limit was too short to start it"
    deadline = time.monotonic() + 10
    processes = list(map(int, children.read_text().split()))
    while alive(processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(processes)


def test_what_comes_back_is_checked(outside):
    for how, suffix, message in (
        ("more", "", r"its clip has more than 9 frames, not the 9 asked for; have it follow"),
        ("fewer", "", r"its clip has 8 frames, not the 9 asked for"),
        ("small", "", r"its clip is 6x6, its frames 12x8; have it make the size"),
        ("nothing", "", r"it ended without writing \{output\}"),
        ("rubbish", ".mp4", r"its clip cannot be read: "),
    ):
        with refused(message, SpfError):
            outside.command(how, suffix=suffix).generate(REQUEST)


@pytest.mark.parametrize(("settings", "message"), [
    ({"command": "make {first} {last}"}, r"lacks \{output\}; such as"),
    ({"command": "make {first} {last} {outptu}"}, "unknown placeholder .*did you mean output"),
    ({"command": "make '{first}"}, "cannot be split"), ({"command": 3}, "must be text"),
    ({"suffix": "/../x"}, "model.suffix="), ({"size": [64, 0]}, "model.size="),
    ({"timeout": 0}, "model.timeout=0"), ({"fps": float("nan")}, "model.fps="),
    ({"retries": -1}, "model.retries=-1"), ({"factor": 0}, "factor=0"),
])  # fmt: skip
def test_impossible_settings_are_refused(settings, message):
    with refused(message):
        Command(**settings)


def test_what_it_cannot_do_is_refused(outside):
    warp = object()
    null, option = (Request(FIRST, LAST, prompt, num_frames=9) for prompt in ("a\0b", "--evil"))
    missing = Command("no-such-program {first} {last} {output}")
    prompted = outside.command(tail="{prompt}")
    fours = outside.command(factor=4)
    for act, message in (
        (Command().check, "model=command needs a command to run"),
        (missing.check, "there is no program 'no-such"),
        (lambda: prompted.generate(REQUEST, warp), "its clock cannot be warped: .*; choose retime"),
        (lambda: prompted.generate(null), "a null character"),
        (lambda: prompted.generate(option), "begins with '-' and would be read as an option"),
        (lambda: fours.clock(Request(FIRST, LAST, num_frames=10)), r"num_frames=10 .* 4n \+ 1"),
    ):
        with pytest.raises(SpfError, match=message):
            act()
    assert outside.calls == []


def test_a_template_survives_the_command_line(tmp_path):
    template = "python make.py --first={first} --last={last} --out={output}"
    config = harness.compose("model=command", f"model.command={template}")
    assert instantiate(config.model).template == shlex.split(template)


def test_a_clip_is_regenerated_by_the_program(outside, tmp_path):
    clip, even = tmp_path / "clip.mp4", tmp_path / "even.mp4"
    harness.save(clip, harness.slow_ends(33))
    words = ["retime", str(clip), "--method", "regenerate", "--embedder", "pixels"]
    words += ["--command", shlex.join(outside.command(tail="{prompt}").template)]
    words += ["--set", "suffix=", "--set", "model.longest=17", "--segments", "3"]
    words += ["--prompt", "a, b = c"]
    assert main([*words, "--out", str(even)]) == 0
    made = load(even).frames
    assert len(made) == 33
    assert harness.uneven(made) < harness.uneven(load(clip).frames) / 2
    count = len(outside.calls)
    assert count > 2
    assert all(call[6] == "a, b = c" for call in outside.calls)
    assert main([*words, "--out", str(even)]) == 0
    assert len(outside.calls) == count
