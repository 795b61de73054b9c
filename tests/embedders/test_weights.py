"""Published weights: found, noted, hashed and fetched, without any network here."""

from __future__ import annotations

import hashlib
import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import huggingface_hub
import pytest
from huggingface_hub import constants

from scripts import fetch_weights
from spf import weights
from spf.weights import EMBEDDER_PINS, LOCK, Pin, find_cached, read_lock, sha256_of

SCRIPT = [sys.executable, str(harness.ROOT / "scripts" / "fetch_weights.py")]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
BYTES = b"weights"
SHA256 = hashlib.sha256(BYTES).hexdigest()
PIN = Pin("someone/model", "model.safetensors", ("config.json",), COMMIT, SHA256)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return folder


def put(cache: Path, pin: Pin = PIN, commit: str = COMMIT, content: bytes = BYTES) -> Path:
    """A repository as the hub's client keeps it: files are links into blobs."""
    root = cache / f"models--{pin.repo.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    (root / "blobs").mkdir(exist_ok=True)
    for name in pin.files:
        blob = root / "blobs" / f"{commit}-{name}"
        blob.write_bytes(content if name == pin.weights else b"{}")
        (snapshot / name).unlink(missing_ok=True)
        (snapshot / name).symlink_to(blob)
    return snapshot


def test_repositories_are_those_of_open_clip() -> None:
    """The names are open_clip's own, but for a trailing slash."""
    from open_clip.pretrained import _PRETRAINED

    known = {
        tag.get("hf_hub", "").rstrip("/") for tags in _PRETRAINED.values() for tag in tags.values()
    }
    for family in ("siglip", "clip"):
        assert {pin.repo for pin in EMBEDDER_PINS[family].values()} <= known
    tag = _PRETRAINED["ViT-L-14"]["openai"]
    assert tag["quick_gelu"]
    assert tag["hf_hub"].rstrip("/") == EMBEDDER_PINS["clip"]["l14-openai"].repo


def test_a_snapshot_is_found_at_its_commit_alone(cache: Path) -> None:
    assert find_cached(PIN) is None
    snapshot = put(cache)
    assert find_cached(PIN) == (snapshot, COMMIT)
    assert find_cached(replace(PIN, revision="f" * 40)) is None
    (snapshot / "config.json").unlink()
    assert find_cached(PIN) is None


def test_without_a_pinned_commit_the_noted_one_is_used(cache: Path) -> None:
    loose = replace(PIN, revision=None)
    put(cache)
    newer = put(cache, commit="f" * 40)
    assert find_cached(loose) is None  # which of them?
    root = cache / "models--someone--model"
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("f" * 40)
    assert find_cached(loose) == (newer, "f" * 40)
    weights.note(root / LOCK, {}, revision=COMMIT)
    assert find_cached(loose) == (root / "snapshots" / COMMIT, COMMIT)


def test_a_hash_is_noted_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, lock = tmp_path / "w.safetensors", tmp_path / LOCK
    file.write_bytes(BYTES)
    assert sha256_of(file, lock) == SHA256
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("it was hashed again"))
    assert sha256_of(file, lock) == SHA256
    monkeypatch.undo()
    os.utime(file, ns=(1, 1))
    file.write_bytes(b"changed")
    assert sha256_of(file, lock) == hashlib.sha256(b"changed").hexdigest()


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for the hub that has one repository; what it was asked is kept."""
    state: dict[str, Any] = {"content": BYTES, "published": SHA256, "asked": [], "error": None}

    def model_info(self: object, repo: str, revision: str | None = None, **_: Any) -> Any:
        state["asked"].append((repo, revision))
        if state["error"]:
            raise state["error"]
        large = types.SimpleNamespace(sha256=state["published"])
        file = types.SimpleNamespace(rfilename=PIN.weights, lfs=large)
        return types.SimpleNamespace(sha=revision or COMMIT, siblings=[file])

    def snapshot_download(repo: str, revision: str, allow_patterns: list[str], **_: Any) -> str:
        assert sorted(allow_patterns) == sorted(PIN.files)
        return str(put(cache, PIN, revision, state["content"]))

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    table = {"embedder": {"it": [PIN], "loose": [replace(PIN, revision=None, sha256=None)]}}
    monkeypatch.setattr(fetch_weights, "WEIGHTS", table)
    return state


def fetch(capsys: pytest.CaptureFixture[str], word: str) -> tuple[int, str, str]:
    code = fetch_weights.main([word])
    return code, *capsys.readouterr()


def test_fetching_verifies_and_notes(
    hub: dict[str, Any], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, _ = fetch(capsys, "embedder=it")
    assert code == 0
    assert "fetched" in text
    assert "as pinned" in text
    assert hub["asked"] == [(PIN.repo, COMMIT)]
    lock = read_lock(cache / "models--someone--model" / LOCK)
    assert lock["revision"] == COMMIT
    (noted,) = lock["files"].values()
    assert noted["sha256"] == SHA256
    code, text, _ = fetch(capsys, "embedder=it")  # a second time asks nobody
    assert code == 0
    assert "already here" in text
    assert len(hub["asked"]) == 1


@pytest.mark.parametrize("word", ["embedder=it", "embedder=loose"])
def test_another_hash_is_refused_and_removed(
    word: str, hub: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    hub["content"] = b"torn"
    code, _, errors = fetch(capsys, word)
    assert code == 3
    assert "SHA-256" in harness.check_one_line(errors)
    assert find_cached(PIN) is None
    hub["content"] = BYTES
    assert fetch(capsys, word)[0] == 0


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConnectionError("[Errno -2] no such\nhost"), 3, "embedder.path=FOLDER"),
        (OSError(""), 3, PIN.repo),
        (TimeoutError(), 3, PIN.repo),
        (KeyboardInterrupt(), 130, "go on"),
    ],
)
def test_a_download_that_fails_is_one_line(
    error: Exception, code: int, said: str, hub: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    hub["error"] = error
    found, _, errors = fetch(capsys, "embedder=it")
    assert found == code
    assert said in harness.check_one_line(errors)


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("embedder=siglp", 2, "did you mean siglip"),
        ("voice=x", 2, "known: embedder"),
        ("embedder=siglip", 3, "HF_HUB_OFFLINE"),
    ],
)
def test_commands_end_with_their_codes(word: str, code: int, said: str, tmp_path: Path) -> None:
    done = harness.command(*SCRIPT, word, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert done.returncode == code
    assert said in harness.check_one_line(done.stderr)


# Without weights
