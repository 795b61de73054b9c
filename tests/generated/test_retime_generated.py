"""The benchmark of retimed clips: its rows, what it keeps, how it resumes, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import generators
import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio

import spf
from benchmarks.generated.pairs import load_pairs
from benchmarks.generated.scores import oracle_curve
from benchmarks.harness import session
from benchmarks.harness.folder import RunFolder
from spf.generators.base import GeneratedClip, Request
from spf.generators.cached import unpack
from spf.generators.tiny.adapter import TinyGenerator
from spf.measurement import DEFAULT_SETTINGS

TABLES = ("retiming.csv", "retiming.md", "retimed_pairs.csv", "records.csv", "records.parquet")

LABELS = [
    "none",
    "rope (authors_code)",
    "rope (authors_workflow)",
    "rope (ours)",
    "rope_iterative (authors_code)",
    "rope_flat",
    "nearest",
    "blend",
    "flow",
    "wrong_map",
]


@pytest.fixture(scope="module")
def finished(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> session.Run:
    """A run with every default but two pairs."""
    return generators.run(tiny_weights, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each generation so far was warped."""
    seen: list[bool] = []
    generate = TinyGenerator.generate

    def counted(
        self: TinyGenerator, request: Request, warp: Any = None, watch: Any = None
    ) -> GeneratedClip:
        seen.append(warp is not None)
        return generate(self, request, warp, watch)

    monkeypatch.setattr(TinyGenerator, "generate", counted)
    return seen


def test_a_row_for_each_pair_measure_and_strategy(finished: session.Run) -> None:
    records = pd.DataFrame(finished.results.records)
    assert finished.code == 0
    assert set(records["status"]) == {"done"}
    assert list(dict.fromkeys(records["retime"])) == LABELS
    assert len(records) == len(LABELS) * 2 * 2
    assert not records.duplicated(["clip", "embedder", "retime"]).any()
    assert dict(zip(records["embedder"], records["control"], strict=True)) == {
        "histogram": True,
        "oracle": False,
    }
    assert set(records["model"]) == {"tiny"}
    assert (records[records["retime"] == "none"]["iterations"] == 0).all()
    assert (records[records["retime"] == "rope_flat"]["iterations"] == 1).all()


def test_numbers_are_those_of_the_kept_clips(finished: session.Run) -> None:
    folder = finished.folder
    pairs = {pair.name: pair for pair in load_pairs("procedural", (32, 32))}
    for record in finished.results.records[:8]:
        for prefix in ("", "before_"):
            clip = unpack(folder.read(record[f"{prefix}file"]))
            pair = pairs[record["clip"]]
            assert pair.oracle is not None
            if record["embedder"] == "histogram":
                vectors = spf.embed(clip.frames, "histogram")
                curve = spf.fit(vectors, np.arange(len(clip.frames)) / clip.fps)
                assert spf.score(curve)["linearity_mae"] == record[f"{prefix}linearity_mae"]
            p = pair.oracle.parameter(clip.frames)
            with np.errstate(all="ignore"):
                q, u = (p - p[0]) / (p[-1] - p[0]), np.linspace(0, 1, len(p))
            fine = np.linspace(0, 1, 20001)
            error = np.abs(np.interp(fine, u, q - u)).mean()
            assert record[f"{prefix}true_linearity_mae"] == pytest.approx(
                error, rel=1e-3, abs=1e-3, nan_ok=True
            )
            assert record[f"{prefix}residual"] == pytest.approx(
                pair.oracle.residual(clip.frames).mean()
            )
            for end, index, given in (("first", 0, pair.first), ("last", -1, pair.last)):
                expected = peak_signal_noise_ratio(given, clip.frames[index], data_range=255)
                assert record[f"{prefix}{end}_psnr"] == pytest.approx(expected)
                assert np.isnan(record[f"{prefix}{end}_angle"]) == (record["embedder"] == "oracle")


def test_the_table_is_made_of_the_rows(finished: session.Run) -> None:
    records = pd.DataFrame(finished.results.records)
    table = pd.read_csv(finished.folder.path("retiming.csv"))
    assert len(table) == len(LABELS) * 2
    assert set(table["generator"]) == {"tiny (shipped)"}
    note = finished.folder.path("retiming.md").read_text()
    assert "shows the mechanism, not the quality of large models" in note
    assert "rope_flat: alpha 1, gamma none, iterations 1, correction add" in note
    names = {"histogram (control)": "histogram", "oracle (renderer)": "oracle"}
    assert set(table["measure"]) == set(names)
    for _, row in table.iterrows():
        own = records[
            (records["embedder"] == names[row["measure"]]) & (records["retime"] == row["strategy"])
        ]
        before, after = own["before_linearity_mae"], own["linearity_mae"]
        assert row["pairs"] == 2
        assert row["linearity_mae"] == pytest.approx(after.median(), rel=1e-5, nan_ok=True)
        assert row["before_linearity_mae"] == pytest.approx(before.median(), rel=1e-5)
        difference = (after - before).median()
        assert row["difference"] == pytest.approx(difference, rel=1e-4, abs=1e-9, nan_ok=True)
        assert row["better"] == f"{(after < before).sum()} of 2"
        assert row["residual_ratio"] == pytest.approx(own["residual_ratio"].median(), rel=1e-5)
        if row["strategy"] == "rope (authors_code)":
            assert np.isnan(row["against_authors"])
            continue
        same = records["embedder"] == names[row["measure"]]
        theirs = records[same & (records["retime"] == "rope (authors_code)")]["linearity_mae"]
        against = pd.Series(after.to_numpy() - theirs.to_numpy()).median()
        assert row["against_authors"] == pytest.approx(against, rel=1e-4, abs=1e-9, nan_ok=True)


def fitted(folder: RunFolder, record: dict[str, Any]) -> Any:
    """The curve of a record's baseline, measured again."""
    clip = unpack(folder.read(record["before_file"]))
    if record["embedder"] == "oracle":
        pairs = {pair.name: pair for pair in load_pairs("procedural", (32, 32))}
        return oracle_curve(pairs[record["clip"]], clip, DEFAULT_SETTINGS)
    return spf.fit(spf.embed(clip.frames, "histogram"), np.arange(len(clip.frames)) / clip.fps)


def test_a_second_run_repeats_every_byte(
    finished: session.Run, tiny_weights: Path, tmp_path: Path, calls: list[bool]
) -> None:
    again = generators.run(tiny_weights, tmp_path)
    assert calls  # nothing was taken from the other folder
    for name in TABLES:
        assert (again.folder.root / name).read_bytes() == finished.folder.read(name), name
    count = len(calls)
    third = generators.run(tiny_weights, tmp_path)
    assert (third.results.reused, len(calls)) == (len(third.results.records), count)


def test_it_resumes_between_baseline_and_retimed_clip(
    tiny_weights: Path, tmp_path: Path, calls: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = TinyGenerator.generate

    def interrupted(
        self: TinyGenerator, request: Request, warp: Any = None, watch: Any = None
    ) -> Any:
        if warp is not None:
            raise KeyboardInterrupt
        return counted(self, request, warp, watch)

    words = ["benchmark.retimes=[rope_flat]", "benchmark.num_pairs=1"]
    with monkeypatch.context() as patch:
        patch.setattr(TinyGenerator, "generate", interrupted)
        assert generators.run(tiny_weights, tmp_path, *words).code == session.INTERRUPTED
    assert calls == [False]
    finished = generators.run(tiny_weights, tmp_path, *words)
    assert calls == [False, True, True]  # the baseline was there; by embedder and by oracle
    assert finished.code == 0


def test_a_damaged_file_is_generated_again(
    tiny_weights: Path, tmp_path: Path, calls: list[bool]
) -> None:
    first = generators.run(tiny_weights, tmp_path, generators.SHORT)
    table = first.folder.read("records.csv")
    files = sorted((first.folder.root / "generated").iterdir())
    contents = {path: path.read_bytes() for path in files}
    for number, path in enumerate(files):
        data = contents[path]
        path.write_bytes([b"", data[:-100], data[:200] + b"x" + data[201:]][number % 3])
    before = len(calls)
    again = generators.run(tiny_weights, tmp_path, generators.SHORT)
    assert len(calls) - before == len(files)
    assert {path: path.read_bytes() for path in files} == contents
    assert again.folder.read("records.csv") == table


@pytest.mark.slow
def test_two_workers_give_the_same_tables(
    finished: session.Run, tiny_weights: Path, tmp_path: Path
) -> None:
    other = generators.run(tiny_weights, tmp_path, "workers=2")
    for name in TABLES:
        assert other.folder.read(name) == finished.folder.read(name), name
