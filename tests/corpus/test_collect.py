"""`spf collect`: sources that are checked, clips that are the expected ones, builds that resume."""

import os
import shutil
from pathlib import Path

import harness
import pandas as pd
import pytest
import yaml
from servers import Server, serving
from tiles import GRID, planes, raw, sha256, write

from benchmarks.harness.records import commit
from scripts import measure_community
from spf.cli import main
from spf.collect import build_collection, read_collection
from spf.collect import collection as description
from spf.generators.folder import Folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sources = []
    for seed, pair in enumerate(["cat", "dog"]):
        frames, name = planes(seed=seed), f"videos/{pair}.mp4"
        file = write(tmp_path / "source" / name, frames)
        hashes = {name: sha256(raw(frames, tile)) for name, tile in GRID.items()}
        known = {"file": name, "pair": pair, "frames": hashes}
        sources.append(known | {"sha256": sha256(file.read_bytes())})
    content = {
        "title": "two grids", "repository": "https://example.org/small.git", "commit": "0" * 40,
        "download": "http://127.0.0.1:9/{file}", "licence": "CC0", "attribution": "nobody",
        "tiles": {name: list(tile) for name, tile in GRID.items()}, "sources": sources,
    }  # fmt: skip
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path


def change(place, **more):
    content = yaml.safe_load((place / "small.yaml").read_text())
    (place / "small.yaml").write_text(yaml.safe_dump(content | more, sort_keys=False))


def collect(*options):
    return main(["collect", "small.yaml", "--out", "out", *options])


def files(folder):
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


CLIPS = [f"{name}/{pair}.mp4" for name in ("low", "one", "two") for pair in ("cat", "dog")]


def test_a_collection_is_built_once_and_found_again(place, capsys):
    assert collect("--from", "source") == 0
    assert "CC0" in capsys.readouterr().out
    found = files(place / "out")
    assert sorted(found) == ["collection.yaml", *CLIPS]
    assert found["collection.yaml"] == (place / "small.yaml").read_bytes()
    assert len(Folder(place / "out").clips()) == 6
    shutil.rmtree(place / "source")
    assert collect() == 0  # which needs no source
    assert "6 clips were there" in capsys.readouterr().out
    assert files(place / "out") == found


@pytest.fixture
def refused(place, capsys):
    """Collects; returns the one line of the error. What was in `out` stays, and nothing is left."""

    def check(part, *options, code=2, command="small.yaml"):
        before = files(place / "out")
        options = options or ("--from", "source")
        assert main(["collect", command, "--out", "out", *options]) == code
        line = harness.check_one_line(capsys.readouterr().err)
        assert part in line
        assert files(place / "out") == before
        here = {path.name for path in place.iterdir()}
        assert code == 3 or here <= {"source", "small.yaml", "elsewhere", "out"}
        return line

    return check


@pytest.mark.parametrize(("how", "part"), [
    ("missing", "1 of 2 files are missing, such as videos/dog.mp4"), ("a pipe", "videos/dog.mp4"),
    ("another", "videos/dog.mp4 has another SHA-256"),
    ("a link that leads out", "1 of 2 files are links that lead out of it, such as"),
])  # fmt: skip
def test_another_source_is_refused_before_any_work(how, part, place, refused):
    file = place / "source" / "videos" / "dog.mp4"
    content = file.read_bytes()
    file.unlink()
    if how == "a pipe":
        os.mkfifo(file)
    elif how == "another":
        file.write_bytes(content + b"x")
    elif how == "a link that leads out":
        (place / "elsewhere").write_bytes(content)
        file.symlink_to(place / "elsewhere")
    assert "git clone" in refused(part)
    refused("no such folder", "--from", "none")


def test_frames_that_are_not_the_expected_ones_are_no_clip(place, refused):
    sources = yaml.safe_load((place / "small.yaml").read_text())["sources"]
    right = sources[0]["frames"]["one"]
    sources[0]["frames"]["one"] = "0" * 64
    change(place, sources=sources)
    refused(f"one/cat.mp4: the SHA-256 of its frames is {right}, not {'0' * 64}", code=3)
    assert not (place / "out").exists()


@pytest.mark.parametrize(("edit", "part"), [
    ({"commit": "main"}, "commit is 'main'"), ({"download": "file:///etc/{file}"}, "download is"),
    ({"tiles": {"../one": [0, 0, 2, 2]}}, "name of a tile is '../one'"),
    ({"tiles": {"one": [0, 0, 0, 2]}}, "tile one is [0, 0, 0, 2]"),
    ({"tiles": {"one": [0, 0, 2, 2]}}, "'two/cat.mp4' is there twice, or of none"),
    ({"pair": "a/b"}, "pair is 'a/b'"), ({"sha256": "0"}, "sha256 is '0'"),
    ({"file": "../x.mp4"}, "file '../x.mp4' leads out"), ({"frames": {"two": 1}}, "two is 1"),
])  # fmt: skip
def test_a_wrong_description_is_one_line(edit, part, place, refused):
    sources = yaml.safe_load((place / "small.yaml").read_text())["sources"]
    if edit.keys() & sources[0].keys():
        sources[0] |= edit
        edit = {"sources": sources}
    change(place, **edit)
    refused(f"small.yaml: {part}")


def test_what_is_no_description_or_collection_is_one_line(place, refused):
    refused("did you mean morphs", command="morps")
    refused("give one of them", "--from", "x", "--fetch", command="morphs")
    for text in ("", "[1]", "sources: [1]", "a: [", "\xff", "tiles: 3"):
        (place / "small.yaml").write_bytes(text.encode("latin-1"))
        refused("small.yaml: ")


def test_what_exists_stays_as_it_is(place, refused):
    harness.touch(place / "out", "mine.txt")
    refused("it exists and is not this version of small")
    (place / "out" / "mine.txt").unlink()
    assert collect("--from", "source") == 0  # into a folder that is empty
    shutil.copy(place / "out" / "two" / "cat.mp4", place / "out" / "two" / "dog.mp4")
    refused("two/dog.mp4 is missing or was changed")
    change(place, title="another version")
    refused("it exists and is not this version of small")


def test_an_interrupted_build_goes_on(place, capsys):
    made = []

    def on_clip():
        made.append(collect("--from", "source"))
        if len(made) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_collection(read_collection("small.yaml"), "out", "source", on_clip=on_clip)
    assert made == [2] * 4
    assert capsys.readouterr().err.count("another command builds it") == 4
    assert not (place / "out").exists()
    (part,) = place.glob(".out-*.part")
    damaged, *good = done = {path: path.stat().st_ino for path in part.rglob("*.mp4")}
    assert len(good) == 3
    damaged.write_bytes(b"x")
    harness.touch(part, "one/.spf-1.tmp")
    assert collect("--from", "source") == 0
    assert sorted(files(place / "out")) == ["collection.yaml", *CLIPS]
    for path, inode in done.items():
        same = (place / "out" / path.relative_to(part)).stat().st_ino == inode
        assert same == (path != damaged)
    assert not part.exists()


class Files(Server):
    root: Path

    @property
    def content(self):
        return (self.root / self.path.lstrip("/")).read_bytes()


@pytest.fixture
def server(place, monkeypatch):
    Files.root = place / "source"
    with serving(Files, monkeypatch) as address:
        change(place, download=f"{address}/{{file}}")
        yield Files


def test_a_download_resumes_and_leaves_the_clips_alone(place, server, capsys):
    size = (place / "source" / "videos" / "cat.mp4").stat().st_size
    assert collect() == 2
    assert server.asked == []  # nothing connects unasked
    capsys.readouterr()
    server.stop_after = 1000
    assert collect("--fetch") == 3
    assert f"{size - 1000} bytes too early" in harness.check_one_line(capsys.readouterr().err)
    server.stop_after = None
    assert collect("--fetch") == 0
    assert server.asked == [None, "bytes=1000-", None]
    found = files(place / "out")
    assert sorted(found) == ["collection.yaml", *CLIPS]
    assert not list(place.glob(".out*"))
    shutil.rmtree(place / "out")
    assert collect("--from", "source") == 0
    assert files(place / "out") == found


def test_a_server_that_is_gone_or_sends_another_content_is_one_line(place, refused, monkeypatch):
    assert "git clone" in refused("--from FOLDER", "--fetch", code=3)
    assert {path.name for path in place.iterdir()} == {"source", "small.yaml"}
    Files.root = place / "source"
    (place / "source" / "videos" / "dog.mp4").write_bytes(b"y")
    with serving(Files, monkeypatch) as address:
        change(place, download=f"{address}/{{file}}")
        refused("it has another SHA-256", "--fetch", code=3)


@pytest.mark.parametrize("name", [path.stem for path in description.FOLDER.glob("*.yaml")])
def test_published_collections_are_comparisons(name):
    collection = read_collection(name)
    generators = {clip.path.partition("/")[0] for clip in collection.clips}
    pairs = {Path(clip.path).stem for clip in collection.clips}
    assert len(collection.clips) == len(generators) * len(pairs) > 1
    assert len({clip.sha256 for clip in collection.clips}) == len(collection.clips)
    assert all(collection.fields["commit"] in collection.url(x) for x in collection.sources)
    assert collection.url("x").startswith("https://")


@pytest.mark.slow
def test_a_collection_is_measured_and_published(place, capfd, monkeypatch):
    monkeypatch.setattr(measure_community, "RESULTS", place / "results")
    monkeypatch.setenv("HF_HUB_CACHE", str(place / "weights"))
    monkeypatch.setenv("GIT_DIR", str(place / "none"))  # or rows of work that goes on are refused
    commit.cache_clear()
    names = ["small.yaml", "siglip", "pixels"]
    assert measure_community.main(names) == 2
    assert "spf collect small --out" in harness.check_one_line(capfd.readouterr().err)
    clips = place / "results" / "collections" / "small"
    assert main(["collect", "small.yaml", "--out", str(clips), "--from", "source"]) == 0
    assert measure_community.main(names) == 0
    output = capfd.readouterr()
    assert "make weights EMBEDDER=siglip" in output.err
    assert "siglip: not published" in output.err
    assert output.out.splitlines()[-1].endswith("no problems")
    community = place / "results" / "community"
    found = files(community)
    assert not [name for name in found if name.endswith((".png", ".mp4")) or "siglip" in name]
    for word in (b"https://example.org/small.git", b"CC0"):
        assert word in found["small/README.md"]
    records = pd.read_parquet(community / "small" / "pixels" / "records.parquet")
    assert sorted(records["source"]) == sorted(CLIPS)
    shutil.rmtree(clips / "one")
    assert measure_community.main(names) == 2
    assert "is missing or was changed" in harness.check_one_line(capfd.readouterr().err)
    assert files(community) == found
    commit.cache_clear()
