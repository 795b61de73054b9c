import re

import generators
import harness
import numpy as np
import pandas as pd
import pytest
import yaml
from clips import refused
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import spf
from benchmarks.generated.pairs import load_pairs
from benchmarks.generated.strategies import WrongMap, described, parse_retimes
from benchmarks.harness import session
from spf.generators.cached import unpack
from spf.generators.tiny.adapter import TinyGenerator
from spf.generators.tiny.sampling import TinySampler
from spf.pacing.strategies import NoRetime, Rope, RopeFlat
from spf.pacing.targets import EaseIn

TABLES = ("retiming.csv", "retiming.md", "retimed_pairs.csv", "records.csv", "records.parquet")
AUTHORS = ["rope (authors_code)", "rope (authors_workflow)"]
LABELS = ["none", *AUTHORS, "rope (ours)", "rope_iterative (authors_code)", "rope_flat"]
LABELS += ["nearest", "blend", "flow", "wrong_map"]


@pytest.fixture(scope="module")
def finished(tiny_weights, tmp_path_factory):
    return generators.run(tiny_weights, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def calls(monkeypatch):
    seen, generate = [], TinyGenerator.generate

    def counted(self, request, warp=None, on_progress=None):
        seen.append(warp is not None)
        return generate(self, request, warp, on_progress)

    monkeypatch.setattr(TinyGenerator, "generate", counted)
    return seen


def test_a_row_for_each_pair_measure_and_strategy(finished):
    assert finished.code == 0
    records = pd.DataFrame(finished.results.records)
    assert set(records["status"]) == {"done"}
    assert list(dict.fromkeys(records["retime"])) == LABELS
    assert len(records) == len(LABELS) * 2 * 2
    assert not records.duplicated(["clip", "embedder", "retime"]).any()
    measures = set(zip(records["embedder"], records["control"], strict=True))
    assert measures == {("histogram", True), ("oracle", False)}
    iterations = records.groupby("retime")["iterations"]
    assert (iterations.max()[["none", "rope_flat"]] == [0, 1]).all()


def test_numbers_are_those_of_the_stored_clips(finished):
    pairs = {pair.name: pair for pair in load_pairs("procedural", (32, 32))}
    for record in finished.results.records[:8]:
        for prefix in ("", "before_"):
            known = [name for name in record if name.startswith(prefix)]
            own = {name.removeprefix(prefix): record[name] for name in known}
            clip, pair = unpack(finished.folder.read(own["file"])), pairs[record["clip"]]
            if record["embedder"] == "histogram":
                vectors = spf.embed(clip.frames, "histogram")
                curve = spf.fit(vectors, np.arange(len(clip.frames)) / clip.fps)
                assert spf.score(curve)["linearity_mae"] == own["linearity_mae"]
            p = pair.oracle.parameter(clip.frames)
            with np.errstate(all="ignore"):
                q, u = (p - p[0]) / (p[-1] - p[0]), np.linspace(0, 1, len(p))
            error = np.abs(np.interp(np.linspace(0, 1, 20001), u, q - u)).mean()
            close = {"rel": 1e-3, "abs": 1e-3, "nan_ok": True}
            assert own["true_linearity_mae"] == pytest.approx(error, **close)
            assert own["residual"] == pytest.approx(pair.oracle.residual(clip.frames).mean())
            for end, index, frame in (("first", 0, pair.first), ("last", -1, pair.last)):
                expected = peak_signal_noise_ratio(frame, clip.frames[index], data_range=255)
                assert own[f"{end}_psnr"] == pytest.approx(expected)
                assert np.isnan(own[f"{end}_angle"]) == (record["embedder"] == "oracle")


def test_the_table_is_made_of_the_rows(finished):
    records = pd.DataFrame(finished.results.records)
    table = pd.read_csv(finished.folder.path("retiming.csv"))
    assert len(table) == len(LABELS) * 2
    note = finished.folder.path("retiming.md").read_text()
    assert "rope_flat: alpha 1, gamma none, iterations 1, correction add" in note
    names = {"histogram (control)": "histogram", "oracle (renderer)": "oracle"}
    assert set(table["measure"]) == set(names)
    close = {"rel": 1e-4, "abs": 1e-9, "nan_ok": True}
    for _, row in table.iterrows():
        same = records[records["embedder"] == names[row["measure"]]]
        own = same[same["retime"] == row["strategy"]]
        before, after = own["before_linearity_mae"], own["linearity_mae"]
        theirs = same[same["retime"] == AUTHORS[0]]["linearity_mae"]
        against = pd.Series(after.to_numpy() - theirs.to_numpy()).median()
        wanted = {
            "pairs": 2, "linearity_mae": after.median(), "before_linearity_mae": before.median(),
            "difference": (after - before).median(),
            "residual_ratio": own["residual_ratio"].median(),
            "against_authors": np.nan if row["strategy"] == AUTHORS[0] else against,
        }  # fmt: skip
        assert row[[*wanted]].to_dict() == pytest.approx(wanted, **close)
        assert row["better"] == f"{(after < before).sum()} of 2"


def test_a_second_run_repeats_every_byte(finished, tiny_weights, tmp_path, calls):
    again = generators.run(tiny_weights, tmp_path)
    assert calls  # nothing was taken from the other folder
    for name in TABLES:
        assert again.folder.read(name) == finished.folder.read(name), name
    count = len(calls)
    third = generators.run(tiny_weights, tmp_path)
    assert (third.results.reused, len(calls)) == (len(third.results.records), count)


def test_it_resumes_between_baseline_and_retimed_clip(tiny_weights, tmp_path, calls, monkeypatch):
    counted = TinyGenerator.generate

    def interrupted(self, request, warp=None, on_progress=None):
        if warp is not None:
            raise KeyboardInterrupt
        return counted(self, request, warp, on_progress)

    words = ["benchmark.retimes=[rope_flat]", "benchmark.num_pairs=1"]
    with monkeypatch.context() as patch:
        patch.setattr(TinyGenerator, "generate", interrupted)
        assert generators.run(tiny_weights, tmp_path, *words).code == session.INTERRUPTED
    assert calls == [False]
    assert generators.run(tiny_weights, tmp_path, *words).code == 0
    assert calls == [False, True, True]  # the baseline was there; by embedder and by oracle


def test_a_damaged_file_is_generated_again(tiny_weights, tmp_path, calls):
    words = generators.SHORT, "benchmark.num_pairs=1"
    first = generators.run(tiny_weights, tmp_path, *words)
    table = first.folder.read("records.csv")
    files = sorted((first.folder.root / "generated").iterdir())
    contents = {path: path.read_bytes() for path in files}
    for number, (path, data) in enumerate(contents.items()):
        path.write_bytes([b"", data[:-100], data[:200] + b"x" + data[201:]][number % 3])
    calls.clear()
    again = generators.run(tiny_weights, tmp_path, *words)
    assert len(calls) == len(files) == 3
    assert {path: path.read_bytes() for path in files} == contents
    assert again.folder.read("records.csv") == table


def test_a_pair_that_fails_leaves_the_others(tiny_weights, tmp_path, monkeypatch):
    bad = load_pairs("procedural", (32, 32))[1]
    sample = TinySampler.sample

    def failing(self, first, *more):
        if np.array_equal(first, bad.first):
            raise RuntimeError("CUDA out of memory. Tried")
        return sample(self, first, *more)

    monkeypatch.setattr(TinySampler, "sample", failing)
    done, words = generators.run(tiny_weights, tmp_path, generators.SHORT), "out of memory while"
    for record in done.results.records:
        failed = record["clip"] == bad.name
        assert record["status"] == ("failed" if failed else "done")
        assert not failed or (words in record["reason"] and "\n" not in record["reason"])
    table = pd.read_csv(done.folder.path("retiming.csv"))
    assert set(table["failed"]) == {1}
    assert all(text.startswith("1 failed: ") and words in text for text in table["reason"])
    assert set(table["better"].str.partition(" of ")[2]) == {"1"}  # of those that were made


@pytest.mark.parametrize(("words", "said"), [
    ("benchmark.retimes=[]", "at least one strategy"), ("target=custom", "points or a file"),
    ("benchmark.retimes=[regenerate]", "regenerate is for benchmark=retime_existing"),
    ("benchmark.retimes=[rope_flatt]", "did you mean rope_flat"),
    ("benchmark.retimes=[{name: rope, iterations: 0}]", "iterations=0"),
    ("benchmark.retimes=[{name: wrong_map, iterations: 3}]", "wrong_map 'iterations'"),
    ("benchmark.pairs=photos", "did you mean photographs"),
    ("benchmark.num_pairs=99", "from 1 to 16"), ("benchmark.seeds=[x]", "seed='x'"),
    ("benchmark.num_frames=500", "use 5 to 33"), ("benchmark.steps=0", "steps=0"),
    ("model=folder;model.path=clips", "choose model=tiny, wan22"),
    ("sampling.stride=2", "sampling applies to files"),
])  # fmt: skip
def test_bad_settings_are_refused_before_any_work(words, said, tiny_weights, monkeypatch):
    monkeypatch.setattr(TinyGenerator, "generate", lambda *_: pytest.fail("work began"))
    with refused(re.escape(said)):
        generators.made(tiny_weights, *words.split(";"))


def test_a_users_pairs_towards_another_target(tiny_weights, tmp_path):
    for number in (0, 1):
        Image.fromarray(harness.picture(number, 64)).save(tmp_path / f"{number}.png")
    path = tmp_path / "pairs.yaml"
    entry = {"name": "$cat$ to lion/1", "first": "0.png", "last": "1.png", "prompt": "a cat"}
    path.write_text(yaml.safe_dump([entry]))
    words = [f"benchmark.pairs={path}", "benchmark.num_pairs=1", "target=ease_in"]
    done = generators.run(tiny_weights, tmp_path, *words, generators.SHORT)
    assert done.code == 0
    records = done.results.records
    assert [record["embedder"] for record in records] == ["histogram"] * 2  # there is no oracle
    for record in records:
        assert record["target"] == "ease_in"
        assert "resized from 64x64 to 32x32" in record["notes"]
        assert "the prompt is passed over" in record["notes"]
        curve = pd.read_csv(done.folder.path(record["curve"]))
        assert np.allclose(curve["target"], curve["u"] ** 2)
        fine = np.linspace(0, 1, 20001)
        gap = np.abs(np.interp(fine, curve["u"], curve["progress"] - curve["target"])).mean()
        assert record["target_mae"] == pytest.approx(gap, abs=1e-3)
    assert done.folder.path("retiming_ease_in.csv").is_file()


def test_retimes_are_names_or_names_with_settings():
    listed = ["none", "rope", {"name": "rope_flat", "iterations": 3, "alpha": 0.5}, "wrong_map"]
    plain = parse_retimes(listed, NoRetime())
    flat = RopeFlat(alpha=0.5, iterations=3)
    assert list(plain.values()) == [NoRetime(), Rope(), flat, WrongMap()]
    assert list(plain)[2] == "rope_flat (alpha=0.5, iterations=3)"
    assert list(parse_retimes(["none", "rope_flat"], flat).values()) == [NoRetime(), flat]
    slow = Rope(decay=1.0)  # and the paper's own method stays
    assert list(parse_retimes(listed, slow).values()) == [*plain.values(), slow]
    assert list(parse_retimes(["none"], slow)) == ["none", "rope (authors_code, decay=1)"]
    assert list(parse_retimes(["rope"], Rope())) == ["rope (authors_code)"]
    assert described(EaseIn(power=3.0)) == "ease_in (power=3)"
