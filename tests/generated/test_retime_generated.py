"""The benchmark of retimed clips: its rows, what it stores, how it resumes, and what it says."""

import generators
import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio

import spf
from benchmarks.generated.pairs import load_pairs
from benchmarks.harness import session
from spf.generators.cached import unpack
from spf.generators.tiny.adapter import Tiny

TABLES = ("retiming.csv", "retiming.md", "retimed_pairs.csv", "records.csv", "records.parquet")
AUTHORS = ["rope (authors_code)", "rope (authors_workflow)"]
LABELS = ["none", *AUTHORS, "rope (ours)", "rope_iterative (authors_code)", "rope_flat"]
LABELS += ["nearest", "blend", "flow", "wrong_map"]


@pytest.fixture(scope="module")
def finished(tiny_weights, tmp_path_factory):
    """A run with every default but two pairs."""
    return generators.run(tiny_weights, tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def records(finished):
    return pd.DataFrame(finished.results.records)


@pytest.fixture
def calls(monkeypatch):
    """Whether each generation so far was warped."""
    seen = []
    generate = Tiny.generate

    def counted(self, request, warp=None, on_progress=None):
        seen.append(warp is not None)
        return generate(self, request, warp, on_progress)

    monkeypatch.setattr(Tiny, "generate", counted)
    return seen


def test_a_row_for_each_pair_measure_and_strategy(finished, records):
    assert finished.code == 0
    assert set(records["status"]) == {"done"}
    assert list(dict.fromkeys(records["retime"])) == LABELS
    assert len(records) == len(LABELS) * 2 * 2
    assert not records.duplicated(["clip", "embedder", "retime"]).any()
    assert set(zip(records["embedder"], records["control"], strict=True)) == {
        *(("histogram", True), ("oracle", False))
    }
    assert set(records["model"]) == {"tiny"}
    iterations = records.groupby("retime")["iterations"]
    assert (iterations.max()[["none", "rope_flat"]] == [0, 1]).all()
    assert iterations.min()["rope_flat"] == 1


def test_numbers_are_those_of_the_stored_clips(finished):
    pairs = {pair.name: pair for pair in load_pairs("procedural", (32, 32))}
    for record in finished.results.records[:8]:
        for prefix in ("", "before_"):
            own = {
                name.removeprefix(prefix): value
                for name, value in record.items()
                if name.startswith(prefix)
            }
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


def test_the_table_is_made_of_the_rows(finished, records):
    table = pd.read_csv(finished.folder.path("retiming.csv"))
    assert len(table) == len(LABELS) * 2
    assert set(table["generator"]) == {"tiny (shipped)"}
    note = finished.folder.path("retiming.md").read_text()
    assert "shows the mechanism, not the quality of large models" in note
    assert "rope_flat: alpha 1, gamma none, iterations 1, correction add" in note
    names = {"histogram (control)": "histogram", "oracle (renderer)": "oracle"}
    assert set(table["measure"]) == set(names)
    close = {"rel": 1e-4, "abs": 1e-9, "nan_ok": True}
    for _, row in table.iterrows():
        same = records[records["embedder"] == names[row["measure"]]]
        own = same[same["retime"] == row["strategy"]]
        before, after = own["before_linearity_mae"], own["linearity_mae"]
        assert row["pairs"] == 2
        assert row["linearity_mae"] == pytest.approx(after.median(), **close)
        assert row["before_linearity_mae"] == pytest.approx(before.median(), **close)
        assert row["difference"] == pytest.approx((after - before).median(), **close)
        assert row["better"] == f"{(after < before).sum()} of 2"
        assert row["residual_ratio"] == pytest.approx(own["residual_ratio"].median(), **close)
        theirs = same[same["retime"] == AUTHORS[0]]["linearity_mae"]
        against = pd.Series(after.to_numpy() - theirs.to_numpy()).median()
        if row["strategy"] == AUTHORS[0]:
            against = float("nan")
        assert row["against_authors"] == pytest.approx(against, **close)


def test_a_second_run_repeats_every_byte(finished, tiny_weights, tmp_path, calls):
    again = generators.run(tiny_weights, tmp_path)
    assert calls  # nothing was taken from the other folder
    for name in TABLES:
        assert again.folder.read(name) == finished.folder.read(name), name
    count = len(calls)
    third = generators.run(tiny_weights, tmp_path)
    assert (third.results.reused, len(calls)) == (len(third.results.records), count)


def test_it_resumes_between_baseline_and_retimed_clip(tiny_weights, tmp_path, calls, monkeypatch):
    counted = Tiny.generate

    def interrupted(self, request, warp=None, on_progress=None):
        if warp is not None:
            raise KeyboardInterrupt
        return counted(self, request, warp, on_progress)

    words = ["benchmark.retimes=[rope_flat]", "benchmark.num_pairs=1"]
    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "generate", interrupted)
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
