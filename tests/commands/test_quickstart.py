"""scripts/quickstart.py pastes what commands print, and says where a page shows something else."""

import sys

import harness
import pytest

from scripts import quickstart

PAGE = """\
# Title

```console
$ echo one; echo two >&2
{}
$ exit 3
$ echo "$PWD/clip.mp4 out/runs/a-b-0123abcd" $COLUMNS; ls clips/*
{}```

```
$ echo this is no console
```
"""
OLD = PAGE.format("old", "")
MADE = PAGE.format("one\ntwo", "clip.mp4 out/runs/a-b-HASH 100\npair.mp4\n")


def test_what_commands_print_replaces_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quickstart, "render", lambda root: harness.touch(root, "clips/a/pair.mp4"))
    page = tmp_path / "page.md"
    page.write_text(OLD)
    assert quickstart.main([str(page), "--check"]) == 1
    assert "\n-old\n" in capsys.readouterr().out
    assert page.read_text() == OLD
    assert quickstart.main([str(page)]) == 0
    assert page.read_text() == MADE
    assert quickstart.main([str(page), "--check"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_quickstart_shows_what_its_commands_print():
    done = harness.command(sys.executable, quickstart.__file__, "--check", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
