"""Published weights: found, noted, hashed and fetched, without any network here."""

import hashlib
import os
import sys
import types
from dataclasses import replace
from pathlib import Path

import harness
import huggingface_hub
import pytest
from huggingface_hub import constants

from scripts import fetch_weights
from spf import weights
from spf.weights import EMBEDDER_PINS, LOCK, Pin, find_cached, read_lock, sha256_of

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40
BYTES = b"weights"
SHA256 = hashlib.sha256(BYTES).hexdigest()
PIN = Pin("someone/model", "model.safetensors", ("config.json",), COMMIT, SHA256)
LOOSE = replace(PIN, revision=None, sha256=None)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path


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


def test_repositories_are_those_of_open_clip():
    """The names are open_clip's own, but for a trailing slash."""
    from open_clip.pretrained import _PRETRAINED

    tags = [tag for tags in _PRETRAINED.values() for tag in tags.values()]
    known = {tag.get("hf_hub", "").rstrip("/") for tag in tags}
    for family in ("siglip", "clip"):
        assert {pin.repo for pin in EMBEDDER_PINS[family].values()} <= known
    openai = _PRETRAINED["ViT-L-14"]["openai"]
    assert openai["quick_gelu"]
    assert openai["hf_hub"].rstrip("/") == EMBEDDER_PINS["clip"]["l14-openai"].repo


def test_a_snapshot_is_found_at_the_pinned_or_the_noted_commit(cache):
    assert find_cached(PIN) is None
    snapshot, newer = put(cache), put(cache, commit=OTHER)
    assert find_cached(PIN) == (snapshot, COMMIT)
    assert find_cached(replace(PIN, revision="e" * 40)) is None
    assert find_cached(LOOSE) is None  # which of them?
    root = snapshot.parents[1]
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(OTHER)
    assert find_cached(LOOSE) == (newer, OTHER)
    weights.note(root / LOCK, {}, revision=COMMIT)
    assert find_cached(LOOSE) == (snapshot, COMMIT)
    (snapshot / "config.json").unlink()
    assert find_cached(PIN) is None


def test_a_hash_is_noted_and_found_again(tmp_path, monkeypatch):
    file, lock = tmp_path / "w.safetensors", tmp_path / LOCK
    file.write_bytes(BYTES)
    assert sha256_of(file, lock) == SHA256
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("it was hashed again"))
        assert sha256_of(file, lock) == SHA256
    os.utime(file, ns=(1, 1))
    file.write_bytes(b"changed")
    assert sha256_of(file, lock) == hashlib.sha256(b"changed").hexdigest()


@pytest.fixture
def hub(cache, monkeypatch):
    """A stand-in for the hub that has one repository, and notes what it was asked."""
    hub = types.SimpleNamespace(content=BYTES, asked=[], error=None)

    def model_info(self, repo, revision=None, **_):
        hub.asked.append((repo, revision))
        if hub.error:
            raise hub.error
        large = types.SimpleNamespace(sha256=SHA256)
        file = types.SimpleNamespace(rfilename=PIN.weights, lfs=large)
        return types.SimpleNamespace(sha=revision or COMMIT, siblings=[file])

    def snapshot_download(repo, revision, allow_patterns, **_):
        assert sorted(allow_patterns) == sorted(PIN.files)
        return str(put(cache, PIN, revision, hub.content))

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(fetch_weights, "WEIGHTS", {"embedder": {"it": [PIN], "loose": [LOOSE]}})
    return hub


def fetch(capsys, name):
    return fetch_weights.main([name]), *capsys.readouterr()


def test_fetching_verifies_and_notes(hub, cache, capsys):
    code, text, _ = fetch(capsys, "embedder=it")
    assert (code, "fetched" in text, "as pinned" in text) == (0, True, True)
    lock = read_lock(cache / "models--someone--model" / LOCK)
    assert lock["revision"] == COMMIT
    assert [noted["sha256"] for noted in lock["files"].values()] == [SHA256]
    code, text, _ = fetch(capsys, "embedder=it")  # a second time asks nobody
    assert (code, "already here" in text) == (0, True)
    assert hub.asked == [(PIN.repo, COMMIT)]


@pytest.mark.parametrize("name", ["embedder=it", "embedder=loose"])
def test_another_hash_is_refused_and_removed(name, hub, capsys):
    hub.content = b"torn"
    code, _, errors = fetch(capsys, name)
    assert code == 3
    assert "SHA-256" in harness.check_one_line(errors)
    assert find_cached(PIN) is None
    hub.content = BYTES
    assert fetch(capsys, name)[0] == 0


@pytest.mark.parametrize(("error", "code", "message"), [
    (ConnectionError("[Errno -2] no such\nhost"), 3, "embedder.path=FOLDER"),
    (OSError(""), 3, PIN.repo),
    (KeyboardInterrupt(), 130, "go on"),
], ids=repr)  # fmt: skip
def test_a_download_that_fails_is_one_line(error, code, message, hub, capsys):
    hub.error = error
    found, _, errors = fetch(capsys, "embedder=it")
    assert found == code
    assert message in harness.check_one_line(errors)


@pytest.mark.parametrize(("name", "code", "message"), [
    ("embedder=siglp", 2, "did you mean siglip"),
    ("voice=x", 2, "known: embedder"),
    ("embedder=siglip", 3, "HF_HUB_OFFLINE"),
    ("quality=vbench", 3, "HF_HUB_OFFLINE"),
])  # fmt: skip
def test_commands_end_with_their_codes(name, code, message, tmp_path):
    script = str(harness.ROOT / "scripts" / "fetch_weights.py")
    done = harness.command(sys.executable, script, name, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert done.returncode == code
    assert message in harness.check_one_line(done.stderr)
