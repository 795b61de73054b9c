import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path

import generators
import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rows import row, stored

from benchmarks.generated.pairs import load_pairs
from benchmarks.harness.folder import RunFolder, slug
from benchmarks.leaderboard.experiment import read_categories
from benchmarks.leaderboard.inputs import MAXIMAL_CONTENT, MAXIMAL_ROWS, read_records
from benchmarks.user_study.trials import AnswersError, Study
from spf.cache import ARRAYS, _unpack
from spf.embedders import load_embedder
from spf.errors import ConfigError, SpfError, UnavailableError
from spf.files import LARGEST_YAML
from spf.generators import cached
from spf.generators.weights import component_parameters
from spf.identity import digest
from spf.pacing.targets import make_target
from spf.store import Store

SECRET = "moonlight-harbour-7731"


@pytest.fixture
def little_memory():
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**28


def check_refused(read, kind=ConfigError, match=None):
    with pytest.raises(kind, match=match) as error:
        read()
    assert len(harness.check_one_line(str(error.value))) < 600


def check_all_refuse(path):
    check_refused(lambda: load_pairs(str(path), (8, 8)))
    check_refused(lambda: read_categories(str(path)))
    points = path.rename(path.with_name("points.json"))
    check_refused(lambda: make_target(f"custom:path={points}"))
    points.rename(path)


# YAML

LAUGHS = "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}, *a{k - 1}]\n" for k in range(1, 60))
MERGES = "".join(f"a{k}: &a{k} {{<<: [*a{k - 1}, *a{k - 1}]}}\n" for k in range(1, 60))
YAMLS = {
    "laughs": "a0: &a0 [x, x]\n" + LAUGHS,
    "laughs in a list": "- &a [x]\n- &b [*a, *a]\n- [*b, *b]\n",
    "merges": "a0: &a0 {x: y}\n" + MERGES,
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
def test_hostile_yaml_is_refused_in_a_line(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = YAMLS[kind]
    path = tmp_path / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check_all_refuse(path)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(kind, tmp_path):
    path = tmp_path / "file.yaml"
    made = {"pipe": os.mkfifo, "folder": Path.mkdir}
    made.get(kind, lambda path: path.symlink_to("/dev/zero"))(path)
    check_all_refuse(path)
    check_refused(lambda: read_records(path))


# Parquet


def parquet(folder, column, values):
    rows = [row(clip=f"p{k}") for k in range(len(values))]
    table = pq.read_table(stored(folder / "good", rows) / "records.parquet")
    path = folder / "records.parquet"
    table = table.set_column(table.schema.get_field_index(column), column, values)
    pq.write_table(table, path, compression="zstd")
    return path


def test_a_short_file_with_terabytes_of_text_is_refused(tmp_path):
    long = pa.array(["x" * (MAXIMAL_CONTENT // 500)])
    notes = pa.DictionaryArray.from_arrays(pa.array([0] * 600, pa.int32()), long)
    path = parquet(tmp_path, "notes", notes)
    assert path.stat().st_size < 2**20
    check_refused(lambda: read_records(path), match="takes more than")


def test_absurd_counts_and_broken_text_in_parquet_are_refused(tmp_path):
    many = tmp_path / "many.parquet"
    pq.write_table(pa.table({"status": pa.nulls(MAXIMAL_ROWS + 1, pa.string())}), many)
    check_refused(lambda: read_records(many), match="more than 1000000 rows")
    buffers = [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xfe")]
    broken = parquet(tmp_path, "clip", pa.Array.from_buffers(pa.string(), 1, buffers))
    check_refused(lambda: read_records(broken))


# Archives of arrays and weights


def zipped(content, name="vectors.npy"):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def npy(shape, dtype="|u1"):
    """A header that promises an array, without the array."""
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_hostile_archives_are_no_entries_and_no_clips(tmp_path, monkeypatch):
    """Even where their checksum is right: who wrote one may write the other."""
    harm = np.array([Harm(tmp_path / "harmed")], object)
    np.savez(pickled := io.BytesIO(), vectors=harm, frames=harm)
    archives = {
        "zeros": zipped(npy("(1000000000,)") + bytes(10**8)),
        "promise": zipped(npy("(1000000000000000,)", "<f4")),
        "frames": zipped(npy("(1000000000000000, 8, 8, 3)"), "frames.npy"),
        "no archive": b"PK\x03\x04 and so on",
        "nothing": b"",
        "pickle": pickled.getvalue(),
        "deep": zipped(npy("(200000,)") + b"[" * 200_000, "about.npy"),
    }
    for name, data in archives.items():
        entry = Store(tmp_path / "store").put(name, {"key": {}}, {ARRAYS: data})
        assert _unpack(entry, tmp_path, {}) is None, name
        with pytest.raises(cached.DAMAGE):
            cached.unpack(data)
    assert not (tmp_path / "harmed").exists()
    monkeypatch.setattr(cached, "LARGEST", 1000)
    with pytest.raises(ValueError, match="larger than any clip"):
        cached.unpack(zipped(bytes(2000), "frames.npy"))


def test_weights_by_pickle_run_nothing(tmp_path):
    harmed = tmp_path / "harmed"
    for suffix in (".pt", ".safetensors"):
        path = tmp_path / f"weights{suffix}"
        path.write_bytes(pickle.dumps(Harm(harmed)))
        check_refused(partial(load_embedder, "tiny", path=path), SpfError)
    assert not harmed.exists()
    pickle.loads(path.read_bytes())
    assert harmed.exists()  # it would have


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "transformer").mkdir()
    (tmp_path / "model_index.json").write_text('{"transformer": ["a", "b"]}')
    return tmp_path / "transformer" / "diffusion_pytorch_model.safetensors"


def test_hostile_headers_of_weights_are_damage(weights):
    long, flat = b'{"w": {"data_offsets": [], "shape": [1]}}', b'{"weight": []}'
    for header in (b"{}", b"[" * 100_000, b"[]", flat, long):
        length = 2**63 if header == b"{}" else len(header)
        weights.write_bytes(struct.pack("<Q", length) + header)
        read = partial(component_parameters, weights.parents[1], "fetch them")
        check_refused(read, UnavailableError, "damaged")


def test_shards_lie_beside_their_index(weights):
    for name in ("../elsewhere.safetensors", "/tmp/elsewhere.safetensors", 3):
        content = json.dumps({"weight_map": {"weight": name}})
        weights.with_suffix(".safetensors.index.json").write_text(content)
        read = partial(component_parameters, weights.parents[1], "fetch them")
        check_refused(read, UnavailableError, "cannot be read")


# Keys and answers of a user study

CHANGES = {
    "no trials": lambda key: key.pop("trials"),
    "trials of text": lambda key: key.update(trials=["x"]),
    "clips in a list": lambda key: key["trials"][0].update(clips=["a"]),
    "strategies of numbers": lambda key: key.update(strategies=[1, 2]),
    "no number": lambda key: key.update(linearity_mae={"a": "x"}),
    "a study that is none": lambda key: key.update(study=[1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_hostile_key_is_refused_whatever_its_checksum(change):
    study = Study.planned(["content"], ["a", "b"], ["p"], 1)
    key = json.loads(study.key())
    assert Study.from_key(study.key().encode()) == study
    key.pop("checksum")
    CHANGES[change](key)
    forged = json.dumps(key | {"checksum": digest(key)}).encode()
    check_refused(lambda: Study.from_key(forged), AnswersError)


def test_names_of_a_key_are_made_printable():
    study = Study.planned(["content"], ["a\x1b[2J", "b\u202e"], ["p\ud800"], 0)
    read = Study.from_key(study.key().encode())
    assert all(name.isprintable() for name in (*read.strategies, *read.pairs))


# Paths


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "..", ".", "a/../../b", "~/x", "C:\\x", "x\0y", "y" * 5000]
)
def test_a_name_is_one_part_of_a_path(name, tmp_path):
    part = slug(name)
    assert 0 < len(part) < 100
    assert not {"/", "\\", "\0", "~"} & set(part)
    assert part not in (".", "..")
    RunFolder(tmp_path).write(f"plots/{part}.png", b"x")
    assert [path.parent.name for path in tmp_path.rglob("*.png")] == ["plots"]


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "plots/../../x", ""])
def test_a_run_writes_and_reads_nothing_outside_its_folder(path, tmp_path):
    (tmp_path / "x").write_text(SECRET)
    folder = RunFolder(tmp_path / "run")
    for use in (folder.read, lambda path: folder.write(path, b"y")):
        with pytest.raises(ValueError, match="outside"):
            use(path)
    assert (tmp_path / "x").read_text() == SECRET


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "<b>evil</b>"])
def test_pairs_with_such_names_stay_in_the_output_folder(name, tmp_path, tiny_weights):
    for number in range(2):
        Image.fromarray(harness.picture(number)).save(tmp_path / f"{number}.png")
    pairs = tmp_path / "in" / "pairs.yaml"
    pairs.parent.mkdir()
    entry = {"name": name, "first": "../0.png", "last": "../1.png", "prompt": name}
    pairs.write_text(json.dumps([entry]))
    before = set(tmp_path.rglob("*"))
    out = tmp_path / "out"
    options = ["embedder=pixels", "benchmark.retimes=[none]", "benchmark.num_pairs=1"]
    run = generators.run(tiny_weights, out, *options, f"benchmark.pairs={pairs}")
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(out) for path in made)
    assert run.results.records
    assert {record["clip"] for record in run.results.records} == {name}
    assert "b" not in {tag for tag, _ in harness.Page(run.folder.read("index.html").decode()).tags}


def test_files_that_clips_lead_to_are_not_shown(tmp_path):
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
    done = {r["clip"]: r["status"] == "done" for r in run.results.records if r["model"] == "even"}
    assert done == dict.fromkeys(("captions", "concat", "link", "list"), False) | {"pair0": True}
    for path in run.folder.root.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
