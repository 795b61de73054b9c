"""The benchmark of retimed clips: bad input, users' own pairs, other targets, sweeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import generators
import harness
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from benchmarks.generated.pairs import load_pairs
from benchmarks.generated.strategies import WrongMap, described, parse_retimes
from benchmarks.harness import session
from spf.errors import ConfigError, SpfError, UnavailableError
from spf.generators import MAKERS
from spf.generators.tiny.adapter import TinyGenerator
from spf.pacing.strategies import NoRetime, Rope, RopeFlat
from spf.pacing.targets import EaseIn


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SpfError("tiny: the sampled clip is not finite; use other weights"), "not finite"),
        (MemoryError(), "out of memory while generating"),
        (RuntimeError("CUDA out of memory. Tried"), "out of memory while generating"),
    ],
)
def test_a_pair_that_fails_leaves_the_others(
    error: Exception,
    words: str,
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spf.generators.tiny.sampling import TinySampler

    bad = load_pairs("procedural", (32, 32))[1]
    sample = TinySampler.sample

    def failing(self: TinySampler, first: np.ndarray, *more: Any) -> np.ndarray:
        if np.array_equal(first, bad.first):
            raise error
        return sample(self, first, *more)

    monkeypatch.setattr(TinySampler, "sample", failing)
    done = generators.run(tiny_weights, tmp_path, generators.SHORT)
    assert done.code == 1
    for record in done.results.records:
        if record["clip"] == bad.name:
            assert record["status"] == "failed"
            assert words in record["reason"]
            assert "\n" not in record["reason"]
        else:
            assert record["status"] == "done"
    table = pd.read_csv(done.folder.path("retiming.csv"))
    assert set(table["failed"]) == {1}
    assert all(text.startswith("1 failed: ") and words in text for text in table["reason"])
    assert set(table["better"].str.partition(" of ")[2]) == {"1"}  # of those that were made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["benchmark.retimes=[]"], "at least one strategy"),
        (["benchmark.retimes=[regenerate]"], "regenerate is for benchmark=retime_existing"),
        (["benchmark.retimes=[rope_flatt]"], "did you mean rope_flat"),
        (["benchmark.retimes=[{word: rope, iterations: 0}]"], "iterations=0"),
        (["benchmark.retimes=[{word: wrong_map, iterations: 3}]"], "wrong_map 'iterations'"),
        (["benchmark.pairs=photos"], "did you mean photographs"),
        (["benchmark.pairs=none.yaml"], "cannot be read"),
        (["benchmark.num_pairs=0"], "num_pairs=0"),
        (["benchmark.num_pairs=99"], "from 1 to 16"),
        (["benchmark.seeds=[x]"], "seed='x'"),
        (["benchmark.num_frames=500"], "use 5 to 33"),
        (["benchmark.steps=0"], "steps=0"),
        (["target=custom"], "needs points or a file"),
        (["model=folder", "model.path=clips"], "choose model=tiny, wan22"),
        (["sampling.stride=2"], "sampling applies to files"),
    ],
)
def test_bad_settings_are_told_before_any_work(
    words: list[str], said: str, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyGenerator, "generate", lambda *_: pytest.fail("work began"))
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        generators.made(tiny_weights, *words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("word", MAKERS)
def test_a_model_without_weights_is_said_before_any_work(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python run.py model=ltx2` is this benchmark, and ends with exit code 3."""
    config = harness.compose("embedder=histogram", f"model={word}", f"output={tmp_path}/out")
    assert config.benchmark == harness.compose("benchmark=retime_generated").benchmark
    config.model.path = str(tmp_path)
    with pytest.raises(UnavailableError) as error:
        session.run(config, quiet=True)
    assert error.value.exit_code == 3
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_users_pairs_towards_another_target(tiny_weights: Path, tmp_path: Path) -> None:
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
    table = pd.read_csv(done.folder.path("retiming_ease_in.csv"))
    assert {"before_target_mae", "target_mae"} <= set(table.columns)


def test_retimes_are_words_or_words_with_settings() -> None:
    listed = ["none", "rope", {"word": "rope_flat", "iterations": 3, "alpha": 0.5}, "wrong_map"]
    plain = parse_retimes(listed, NoRetime())
    assert list(plain.values()) == [
        NoRetime(),
        Rope(),
        RopeFlat(alpha=0.5, iterations=3),
        WrongMap(),
    ]
    assert list(plain)[2] == "rope_flat (alpha=0.5, iterations=3)"
    chosen = RopeFlat(alpha=0.5)
    assert list(parse_retimes(["none", "rope_flat"], chosen).values()) == [NoRetime(), chosen]
    # The paper's own method stays.
    assert list(parse_retimes(listed, Rope(decay=1.0)).values()) == [
        *plain.values(),
        Rope(decay=1.0),
    ]
    assert list(parse_retimes(["none"], Rope(decay=1.0))) == [
        "none",
        "rope (authors_code, decay=1)",
    ]
    assert list(parse_retimes(["rope"], Rope())) == ["rope (authors_code)"]
    assert described(EaseIn(power=3.0)) == "ease_in (power=3)"
