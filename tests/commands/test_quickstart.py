"""scripts/quickstart.py pastes what commands print, and says where a page shows something else."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import harness
import pytest

PAGE = """\
# Title

```console
$ echo one; echo two >&2
old
$ exit 3
$ echo "$PWD/clip.mp4 out/runs/a-b-0123abcd" $COLUMNS; ls clips/*
```

```
$ echo this is no console
```
"""
MADE = """\
# Title

```console
$ echo one; echo two >&2
one
two
$ exit 3
$ echo "$PWD/clip.mp4 out/runs/a-b-0123abcd" $COLUMNS; ls clips/*
clip.mp4 out/runs/a-b-HASH 100
pair.mp4
```

```
$ echo this is no console
```
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    place = harness.ROOT / "scripts" / "quickstart.py"
    spec = importlib.util.spec_from_file_location("quickstart", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_commands_print_replaces_what_the_page_shows(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        script, "render", lambda folder: harness.touch(folder / "clips" / "a", "pair.mp4")
    )
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert script.main([str(page), "--check"]) == 1
    assert "\n-old\n" in capsys.readouterr().out
    assert page.read_text() == PAGE
    assert script.main([str(page)]) == 0
    assert page.read_text() == MADE
    assert script.main([str(page), "--check"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_quickstart_shows_what_its_commands_print() -> None:
    place = harness.ROOT / "scripts" / "quickstart.py"
    done = harness.command(sys.executable, str(place), "--check", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
