"""The command `spf` in this process: what it prints."""

import json

import harness

from spf.cli import main

PIXELS = ("--embedder", "pixels")


def printed(capsys, *words, code=0):
    """What a command prints to stdout; `code` is how it must end."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    return capsys.readouterr().out


def refused(capsys, *words, code=2):
    """The one line of a command that cannot be done."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    return harness.check_one_line(capsys.readouterr().err)


def rows(capsys, *words, code=0):
    """The rows that a command prints with --json; stdout holds nothing else."""
    document = json.loads(printed(capsys, *words, "--json", code=code))
    assert document["schema"] == f"spf.{words[0]}/1"
    return document["rows"]
