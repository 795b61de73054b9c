"""Published weights: found, noted, hashed, fetched without a network, and chosen by options."""

import hashlib
import json
import os
import sys
import types
from dataclasses import replace

import harness
import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants
from test_towers import library_dinov2, library_open_clip

import spf
from scripts import fetch_weights
from spf import weights
from spf.cli import main
from spf.embedders import efficientnet
from spf.video import write_png
from spf.weights import EMBEDDER_PINS, LOCK, Pin, read_lock, sha256_of

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40
BYTES = b"weights"
SHA256 = hashlib.sha256(BYTES).hexdigest()
PIN = Pin("someone/model", "model.safetensors", ("config.json",), COMMIT, SHA256)
LOOSE = replace(PIN, revision=None, sha256=None)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def put(cache, pin=PIN, commit=COMMIT, content=BYTES):
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
    from open_clip.pretrained import _PRETRAINED

    tags = [tag for tags in _PRETRAINED.values() for tag in tags.values()]
    known = {tag.get("hf_hub", "").rstrip("/") for tag in tags}
    for family in ("siglip", "clip"):
        assert {pin.repo for pin in EMBEDDER_PINS[family].values()} <= known
    openai = _PRETRAINED["ViT-L-14"]["openai"]
    assert openai["quick_gelu"]
    assert openai["hf_hub"].rstrip("/") == EMBEDDER_PINS["clip"]["l14-openai"].repo


def test_a_snapshot_is_found_at_the_pinned_or_the_noted_commit(cache):
    assert PIN.find() is None
    snapshot, newer = put(cache), put(cache, commit=OTHER)
    assert PIN.find() == snapshot
    assert replace(PIN, revision="e" * 40).find() is None
    assert LOOSE.find() is None  # which of them?
    root = snapshot.parents[1]
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(OTHER)
    assert LOOSE.find() == newer
    weights.note(root / LOCK, revision=COMMIT)
    assert LOOSE.find() == snapshot
    (snapshot / "config.json").unlink()
    assert PIN.find() is None


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
    monkeypatch.setitem(fetch_weights.KNOWN, "embedder", {"it": [PIN], "loose": [LOOSE]})
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
    assert PIN.find() is None
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
def test_commands_end_with_their_codes(name, code, message, cache, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    found, _, errors = fetch(capsys, name)
    assert found == code
    assert message in harness.check_one_line(errors)


FRAMES = harness.steady(9, power=2.0)
VARIANTS = {"siglip": "b16-384", "clip": "l14-openai", "dinov2": "small"}


@pytest.fixture
def fetched(cache, tower_folders, monkeypatch):
    """Small towers in the hub's cache, under the names of variants; no hash is pinned."""
    for family, variant in VARIANTS.items():
        pin = replace(EMBEDDER_PINS[family][variant], sha256=None)
        monkeypatch.setitem(EMBEDDER_PINS[family], variant, pin)
        commit = pin.revision or "f" * 40
        snapshot = put(cache, pin, commit)
        for name in pin.files:
            (snapshot / name).resolve().write_bytes((tower_folders[family] / name).read_bytes())
        harness.touch(snapshot.parents[1], "refs/main")
        (snapshot.parents[1] / "refs" / "main").write_text(commit)
    return tower_folders


@pytest.fixture
def images(tmp_path):
    write_png(tmp_path / "clip", FRAMES)
    return tmp_path / "clip"


@pytest.fixture
def line_of(images, tmp_path, capsys):
    """The one line of a command that does not begin, checked to write nothing."""

    def line_of(command, words, code):
        out = [str(tmp_path / "out")] if command == "corpus" else ["--out", str(tmp_path / "out")]
        assert main([command, str(images), *out, *words]) == code
        output = capsys.readouterr()
        assert output.out == ""
        assert "embedder.path" not in output.err
        assert not (tmp_path / "out").exists()
        return harness.check_one_line(output.err)

    return line_of


@pytest.mark.parametrize(
    ("family", "by"),  # OpenAI's variant of clip has another activation than its file says
    [*((family, "folder") for family in VARIANTS), ("siglip", "variant"), ("dinov2", "variant")],
)
def test_analyze_prints_the_scores_of_the_librarys_own_vectors(
    family, by, fetched, images, monkeypatch, capsys
):
    library = library_dinov2 if family == "dinov2" else library_open_clip
    _, vectors = library(fetched[family], FRAMES)
    expected = spf.score(spf.fit(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)))
    monkeypatch.chdir(fetched[family].parent)
    name = f"{family}/{VARIANTS[family]}" if by == "variant" else family
    more = [] if by == "variant" else ["--weights", family]
    assert main(["analyze", str(images), "--no-plot", "--json", "--embedder", name, *more]) == 0
    output = capsys.readouterr()
    shown = name if by == "variant" else f"{family} (local weights)"
    assert f"embedder: {shown}\n" in output.err
    (row,) = json.loads(output.out)["rows"]
    assert {metric: row[metric] for metric in expected} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("command", ["analyze", "retime", "timemap", "compare", "corpus"])
@pytest.mark.parametrize(("words", "code", "message"), [
    ("--embedder siglp/b16-384", 2, "unknown embedder 'siglp'; did you mean siglip?"),
    ("--embedder dinov2/larg", 2, "unknown dinov2 variant 'larg'; did you mean large?"),
    ("--embedder pixels/16", 2, "embedder pixels has no variants; write pixels"),
    ("--embedder=", 2, "unknown embedder ''; known: clip, dinov2, efficientnet"),
    ("--embedder pixels --weights x", 2, "embedder pixels takes no weights; leave"),
    ("--weights https://h/x", 2, "https://h/x: network sources are not opened; download"),
    ("--weights=", 2, "--weights names no folder; the current one is ."),
    ("--embedder siglip/b16-384", 3, "make weights EMBEDDER=siglip/b16-384, or name a folder of"),
])  # fmt: skip
def test_wrong_names_and_missing_weights_are_refused(command, words, code, message, cache, line_of):
    assert message in line_of(command, words.split(), code)


@pytest.mark.parametrize(("words", "code", "message"), [
    ("siglp", 2, "did you mean siglip"),
    ("histogram --check-weights x", 2, "leave --check-weights out"),
    ("efficientnet", 2, "efficientnet (ImageNet) cannot check itself"),
    ("siglip", 3, "or name a folder of them: --check-weights FOLDER"),
])  # fmt: skip
def test_a_second_embedder_that_cannot_be_is_refused(words, code, message, cache, line_of):
    text = line_of("retime", ["--check-embedder", *words.split()], code)
    assert message in text
    assert " --weights" not in text


@pytest.mark.parametrize(("name", "folder", "message"), [
    ("siglip", "clip", "the weights are of another kind of model"),
    ("dinov2", "clip", "config.json is not there"),
    ("efficientnet", "clip", f"{efficientnet.FILE}: No such file"),
    ("clip/b32-laion2b", "clip", "its SHA-256 is"),
    ("siglip", "nowhere", "nowhere: open_clip_config.json is not there, nor is the folder"),
])  # fmt: skip
@pytest.mark.parametrize("command", ["analyze", "compare"])
def test_a_folder_of_other_weights_exits_3(command, name, folder, message, tower_folders, line_of):
    weights = str(tower_folders.get(folder, folder))
    assert message in line_of(command, ["--embedder", name, "--weights", weights], 3)


@pytest.mark.parametrize(("state", "message"), [
    ("absent", f"{efficientnet.PACKAGE}, is not installed"),
    ("emptied", "No such file"),
    ("damaged", "it is not the file that"),
])  # fmt: skip
def test_a_package_of_weights_that_is_not_whole_exits_3(
    state, message, tmp_path, monkeypatch, line_of
):
    package, shipped = efficientnet.PACKAGE.replace("-", "_"), efficientnet._shipped()
    models = tmp_path / "site" / package / "models"
    harness.touch(models.parent, "__init__.py", "models/none")
    if state == "absent":
        monkeypatch.setitem(sys.modules, package, None)
    else:
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
    if state == "damaged":
        whole = bytearray(shipped.read_bytes())
        whole[len(whole) // 2] ^= 1
        (models / shipped.name).write_bytes(whole)
    text, remedy = line_of("analyze", [], 3).split("; pip install --force-reinstall ")
    assert text.startswith("embedder efficientnet: ")
    assert message in text
    assert remedy == f"{efficientnet.PACKAGE}==0.1.0"
