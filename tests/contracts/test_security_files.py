"""Files of strangers: bombs, pipes, devices, paths that lead away: one line, in bounded memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import generators
import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rows import row, stored

from benchmarks.generated.pairs import load_pairs
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.harness.provenance import digest
from benchmarks.leaderboard.experiment import read_categories
from benchmarks.leaderboard.inputs import MAXIMAL_CONTENT, MAXIMAL_ROWS, read_records
from benchmarks.user_study.trials import AnswersError, Study
from spf.cache import ARRAYS, _unpack
from spf.embedders import load_embedder
from spf.errors import ConfigError, SpfError, UnavailableError
from spf.files import LARGEST_YAML
from spf.generators import cached
from spf.generators.weights import component_parameters
from spf.pacing.targets import make_target
from spf.store import Store

SECRET = "moonlight-harbour-7731"


@pytest.fixture
def little_memory() -> Iterator[None]:
    """What is refused is refused before it grows."""
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**28


# YAML

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}, *a{k - 1}]\n" for k in range(1, 60)
)
MERGES = "a0: &a0 {x: y}\n" + "".join(
    f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}\n" for k in range(1, 60)
)
YAMLS = {
    "laughs": LAUGHS,
    "laughs in a list": "- &a [x]\n" + "- &b [*a, *a]\n- [*b, *b]\n",
    "merges": MERGES,
    "deep": "[" * 50_000,
    "deep mappings": "".join(" " * k + "a:\n" for k in range(2000)),
    "code": "!!python/object/apply:os.system ['touch harmed']",
    "large": "# " + "x" * LARGEST_YAML,
    "date": "- 2001-99-99\n",
    "not text": b"\xff\xfe\x00\x01",
    "control letters": b"name: \x1b[2J",
}


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", YAMLS)
def test_hostile_yaml_is_refused_in_a_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = YAMLS[kind]
    path = tmp_path / "given.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for read in (lambda: load_pairs(str(path), (8, 8)), lambda: read_categories(str(path))):
        with pytest.raises(ConfigError) as error:
            read()
        assert len(harness.check_one_line(str(error.value))) < 600
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "given.yaml"
    _ = {
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
    }[kind]()
    for read in (
        lambda: load_pairs(str(path), (8, 8)),
        lambda: read_categories(str(path)),
        lambda: make_target(f"custom:path={path}"),
        lambda: read_records(path),
    ):
        with pytest.raises(ConfigError) as error:
            read()
        harness.check_one_line(str(error.value))


def test_deep_points_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError) as error:
        make_target(f"custom:path={path}")
    harness.check_one_line(str(error.value))


# Parquet


def test_a_short_file_with_terabytes_of_text_is_refused(tmp_path: Path) -> None:
    table = pq.read_table(
        stored(tmp_path / "good", [row(clip=f"p{k}") for k in range(600)]) / "records.parquet"
    )
    each = MAXIMAL_CONTENT // 500
    long = pa.array(["x" * each] * 2, pa.string()).dictionary_encode()
    notes = pa.DictionaryArray.from_arrays(pa.array([0] * 600, pa.int32()), long.dictionary)
    table = table.set_column(table.schema.get_field_index("notes"), "notes", notes)
    path = tmp_path / "bomb.parquet"
    pq.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 2**20
    with pytest.raises(ConfigError, match="takes more than") as error:
        read_records(path)
    harness.check_one_line(str(error.value))


def test_absurd_counts_and_broken_text_in_parquet_are_refused(tmp_path: Path) -> None:
    many = tmp_path / "many.parquet"
    pq.write_table(pa.table({"status": pa.nulls(MAXIMAL_ROWS + 1, pa.string())}), many)
    with pytest.raises(ConfigError, match="more than 1000000 rows"):
        read_records(many)
    good = pq.read_table(stored(tmp_path / "good", [row()]) / "records.parquet")
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xfe")]
    )
    path = tmp_path / "broken.parquet"
    place = good.schema.get_field_index("clip")
    pq.write_table(good.set_column(place, "clip", broken), path)
    with pytest.raises(ConfigError) as error:
        read_records(path)
    harness.check_one_line(str(error.value))


# Archives of arrays


def zipped(content: bytes, name: str = "vectors.npy") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def npy(shape: str, dtype: str = "<f4") -> bytes:
    """A header that promises an array, without the array."""
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def pickled(path: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, vectors=np.array([Harm(path)], object), frames=np.array([Harm(path)], object))
    return buffer.getvalue()


def archives(tmp_path: Path) -> dict[str, bytes]:
    return {
        "zeros": zipped(npy("(1000000000,)", "|u1") + bytes(10**8)),
        "promise": zipped(npy("(1000000000000000,)")),
        "frames": zipped(npy("(1000000000000000, 8, 8, 3)", "|u1"), "frames.npy"),
        "no archive": b"PK\x03\x04 and so on",
        "nothing": b"",
        "pickle": pickled(tmp_path / "harmed"),
        "deep": zipped(npy("(200000,)", "|u1") + b"[" * 200_000, "about.npy"),
    }


def test_hostile_archives_are_no_entries_and_no_clips(tmp_path: Path) -> None:
    """Even where their checksum is right: who wrote one may write the other."""
    for name, data in archives(tmp_path).items():
        stored = Store(tmp_path / "store").put(name, {"key": {}}, {ARRAYS: data})
        assert stored is not None
        assert _unpack(stored, tmp_path, {}) is None, name
        with pytest.raises(cached.DAMAGE):
            cached.unpack(data)
    assert not (tmp_path / "harmed").exists()


def test_a_kept_clip_may_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "LARGEST", 1000)
    with pytest.raises(ValueError, match="larger than any clip"):
        cached.unpack(zipped(bytes(2000), "frames.npy"))


# Weights


def test_weights_by_pickle_run_nothing(tmp_path: Path) -> None:
    harmed = tmp_path / "harmed"
    for suffix in (".bin", ".pt", ".ckpt", ".safetensors"):
        path = tmp_path / f"weights{suffix}"
        path.write_bytes(pickle.dumps(Harm(harmed)))
        with pytest.raises(SpfError) as error:
            load_embedder("tiny", path=path)
        harness.check_one_line(str(error.value))
    assert not harmed.exists()
    pickle.loads(path.read_bytes())
    assert harmed.exists()  # it would have


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 14) + b'{"weight": []}',
        struct.pack("<Q", 41) + b'{"w": {"data_offsets": [], "shape": [1]}}',
    ],
)
def test_hostile_headers_of_weights_are_damage(data: bytes, tmp_path: Path) -> None:
    pipeline(tmp_path).write_bytes(data)
    with pytest.raises(UnavailableError, match="damaged") as error:
        component_parameters(tmp_path, "fetch them")
    harness.check_one_line(str(error.value))


def pipeline(folder: Path) -> Path:
    """Where a pipeline's only weights would lie."""
    (folder / "transformer").mkdir()
    (folder / "model_index.json").write_text(json.dumps({"transformer": ["a", "b"]}))
    return folder / "transformer" / "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/tmp/elsewhere.safetensors", 3])
def test_shards_lie_beside_their_index(name: object, tmp_path: Path) -> None:
    file = pipeline(tmp_path)
    content = json.dumps({"weight_map": {"weight": name}})
    file.with_suffix(".safetensors.index.json").write_text(content)
    with pytest.raises(UnavailableError, match="cannot be read") as error:
        component_parameters(tmp_path, "fetch them")
    harness.check_one_line(str(error.value))


# Keys and answers of a user study

Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "no trials": lambda key: key.pop("trials"),
    "trials of text": lambda key: key.update(trials=["x"]),
    "a trial with more": lambda key: key["trials"][0].update(more=1),
    "clips in a list": lambda key: key["trials"][0].update(clips=["a"]),
    "strategies of numbers": lambda key: key.update(strategies=[1, 2]),
    "no number": lambda key: key.update(linearity_mae={"a": "x"}),
    "a study that is none": lambda key: key.update(study=[1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_hostile_key_is_refused_whatever_its_checksum(change: str) -> None:
    study = Study.planned(["content"], ["a", "b"], ["p"], 1)
    key = json.loads(study.key())
    assert Study.from_key(study.key().encode()) == study
    key.pop("checksum")
    CHANGES[change](key)
    with pytest.raises(AnswersError) as error:
        Study.from_key(json.dumps(key | {"checksum": digest(key)}).encode())
    harness.check_one_line(str(error.value))


def test_names_of_a_key_are_made_printable() -> None:
    study = Study.planned(["content"], ["a\x1b[2J", "b\u202e"], ["p\ud800"], 0)
    read = Study.from_key(study.key().encode())
    assert all(name.isprintable() for name in (*read.strategies, *read.pairs))


# Paths

PATHS = ["../../x", "/etc/passwd", "..", ".", "a/../../b", "~/x", "C:\\x", "x\0y", "y" * 5000]


@pytest.mark.parametrize("name", PATHS)
def test_a_name_is_one_part_of_a_path(name: str, tmp_path: Path) -> None:
    part = slug(name)
    assert 0 < len(part) < 100
    assert not {"/", "\\", "\0", "~"} & set(part)
    assert part not in (".", "..")
    RunFolder(tmp_path).write(f"plots/{part}.png", b"x")
    assert [path.parent.name for path in tmp_path.rglob("*.png")] == ["plots"]


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "plots/../../x", ""])
def test_a_run_writes_and_reads_nothing_outside_its_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(SECRET)
    folder = RunFolder(tmp_path / "run")
    for use in (folder.read, lambda path: folder.write(path, b"y")):
        with pytest.raises(ValueError, match="outside"):
            use(path)
    assert (tmp_path / "x").read_text() == SECRET


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "..", "<b>evil</b>"])
def test_pairs_with_such_names_stay_in_the_output_folder(
    name: str, tmp_path: Path, tiny_weights: Path
) -> None:
    from PIL import Image

    for number in range(2):
        Image.fromarray(harness.picture(number)).save(tmp_path / f"{number}.png")
    pairs = tmp_path / "in" / "pairs.yaml"
    pairs.parent.mkdir()
    entry = {"name": name, "first": "../0.png", "last": "../1.png", "prompt": name}
    pairs.write_text(json.dumps([entry]))
    before = set(tmp_path.rglob("*"))
    out = tmp_path / "out"
    words = ["embedder=pixels", "benchmark.retimes=[none]", "benchmark.num_pairs=1"]
    words.append(f"benchmark.pairs={pairs}")
    run = generators.run(tiny_weights, out, *words)
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(out) for path in made)
    assert run.results.records
    assert {record["clip"] for record in run.results.records} == {name}
    assert "b" not in {tag for tag, _ in harness.Page(run.folder.read("index.html").decode()).tags}


def test_files_that_clips_lead_to_are_not_shown(tmp_path: Path) -> None:
    """A clip may be a link; what is no film or picture leaves nothing in the tables or the page."""
    clips = harness.two_generators(tmp_path / "clips", 1)
    secret = tmp_path / "secret.txt"
    secret.write_text(f"{SECRET}\n" * 100)
    (clips / "even" / "link.mp4").symlink_to(secret)
    for name, text in {
        "list.mp4": f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile '{secret}'\nfile '{clips}/even/pair0.mp4'\n",
        "captions.webm": f"1\n00:00:00,000 --> 00:00:04,000\n{SECRET}\n",
    }.items():
        (clips / "even" / name).write_text(text)
    run = harness.run(clips, tmp_path / "out", "embedder=pixels")
    status = {r["clip"]: r["status"] for r in run.results.records if r["model"] == "even"}
    assert status == dict.fromkeys(("captions", "concat", "link", "list"), "failed") | {
        "pair0": "done"
    }
    for path in run.folder.root.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
