"""Pairs to generate between: the shipped sets, and a user's YAML with images."""

from __future__ import annotations

from pathlib import Path

import harness
import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks.generated.pairs import PHRASES, Pair, load_pairs
from spf.errors import ConfigError
from spf.generators.stills import FolderOfStills
from synthetic.morph_pairs import HELD_OUT_PAIRS
from synthetic.photographs import PHOTOGRAPHS, photograph

SIZE = (24, 32)


def written(folder: Path, content: object) -> str:
    """A file of pairs beside a.png, b.png (32 x 32) and large.png."""
    for number, name in enumerate("ab"):
        Image.fromarray(harness.picture(number)).save(folder / f"{name}.png")
    Image.fromarray(harness.picture(2, 64)).save(folder / "large.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    path = folder / "pairs.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


GOOD = {"name": "cat to lion", "first": "a.png", "last": "b.png"}
WORDS = {"name": "in words", "first_prompt": "a cat"}


def test_procedural_pairs_are_the_held_out_morphs_with_their_truth() -> None:
    pairs = load_pairs("procedural", SIZE)
    assert len({pair.name for pair in pairs}) == len(pairs) == len(HELD_OUT_PAIRS) >= 16
    for pair, (content, seed) in zip(pairs, HELD_OUT_PAIRS, strict=True):
        paint = content.painter(SIZE, seed=seed)
        assert pair.last is not None
        assert np.array_equal(pair.first, paint(0.0))
        assert np.array_equal(pair.last, paint(1.0))
    oracle = pairs[0].oracle
    assert oracle is not None
    assert pairs[0].painter is not None
    frames = np.stack([pairs[0].painter(p) for p in (0.25, 0.75)])
    assert np.abs(oracle.parameter(frames) - (0.25, 0.75)).max() <= oracle.step
    assert load_pairs("procedural", (144, 144))[0].oracle is None


def test_photographs_are_at_the_size_of_the_model_with_a_prompt_each() -> None:
    pairs = load_pairs("photographs", SIZE)
    assert len({pair.name for pair in pairs}) == len(pairs) >= 10
    for pair in pairs:
        assert pair.first.shape == (*SIZE, 3)
        assert pair.oracle is None
        assert "gradually turns into" in pair.prompt
    (cat,) = (pair for pair in pairs if pair.name == "cat-motorcycle")
    assert np.array_equal(cat.first, photograph("cat", SIZE))
    assert cat.prompt.startswith("a tabby cat gradually turns into a motorcycle")
    assert set(PHRASES) == set(PHOTOGRAPHS)


def test_a_users_pairs(tmp_path: Path) -> None:
    whole = GOOD | {"prompt": "a cat", "negative_prompt": "blur", "category": "animals"}
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    Image.fromarray(harness.picture(7)).save(outside / "c.png")
    free = {"name": "free", "first": str(outside / "c.png")}
    first, second = load_pairs(written(tmp_path, [whole, free]), SIZE)
    assert np.array_equal(first.first, harness.picture(0))
    assert first.last is not None
    assert np.array_equal(first.last, harness.picture(1))
    assert (first.name, first.prompt, first.negative_prompt, first.category) == (
        "cat to lion",
        "a cat",
        "blur",
        "animals",
    )
    assert np.array_equal(second.first, harness.picture(7))
    assert (second.last, second.prompt, second.negative_prompt) == (None, "", None)


def test_a_file_may_hold_images_and_descriptions(tmp_path: Path) -> None:
    path = written(tmp_path, [WORDS, GOOD | {"prompt": "it changes"}])
    stills = FolderOfStills(tmp_path)
    Image.fromarray(harness.picture(5)).save(tmp_path / "in words_first.png")
    described, shown = load_pairs(path, SIZE, None, stills)
    assert np.array_equal(described.first, harness.picture(5))
    assert (described.name, described.last, described.category) == ("in words", None, "")
    assert np.array_equal(shown.first, harness.picture(0))
    assert shown.prompt == "it changes"
    with pytest.raises(ConfigError, match="num_pairs=3 must be a whole number from 1 to 2"):
        load_pairs(path, SIZE, 3, stills)
    with pytest.raises(ConfigError, match="without slashes"):
        load_pairs(written(tmp_path, [WORDS | {"name": "../a"}]), SIZE, None, stills)
    with pytest.raises(ConfigError, match="has images and no descriptions; use stills=none"):
        load_pairs(written(tmp_path, [GOOD]), SIZE, None, stills)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- {name: [", "this is no YAML"),
        ("", "there is no list of pairs"),
        (["a.png"], "pair 1 is 'a.png'"),
        ([GOOD, {"name": "x"}], "pair 2 has no first"),
        ([GOOD | {"promt": "x"}], "did you mean prompt"),
        ([GOOD, WORDS | {"last": "b.png"}], "pair 2 has first_prompt and last"),
        ([{"name": "x", "last_prompt": "a lion"}], "pair 1 has no first"),
        ([WORDS | {"last_prompt": " "}], "last_prompt=' ' must be text"),
        ([WORDS | {"first_promt": "x"}], "did you mean first_prompt"),
        ([GOOD, WORDS], "pair 'in words': the frames are described in words; choose stills=sdxl"),
        ([GOOD | {"name": 7}], "name=7 must be text"),
        ([GOOD | {"name": "a\nb"}], "one line"),
        ([GOOD | {"last": "none.png"}], "none.png"),
        ([GOOD | {"last": "broken.png"}], "broken.png"),
        ([GOOD | {"last": "large.png"}], "differ in size .32x32 and 64x64."),
        ([GOOD, GOOD], "'cat to lion' is taken already"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    content: object, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        load_pairs(written(tmp_path, content), SIZE)
    assert "\n" not in str(error.value)


def test_unknown_sets_are_refused() -> None:
    for source in ("photos", "no/such.yaml", "", 7, ["procedural"]):
        with pytest.raises(ConfigError) as error:
            load_pairs(source, SIZE)
        assert "\n" not in str(error.value)


def test_identities_tell_pairs_apart() -> None:
    first, last, other = (harness.picture(number) for number in range(3))
    pair = Pair("a", first, last)
    others = [
        Pair("b", first, last),
        Pair("a", first, other),
        Pair("a", first),
        Pair("a", first, last, "prompt"),
        Pair("a", first, last, negative_prompt="prompt"),
        Pair("a", first, last, painter=lambda p: other),
    ]
    assert len({repr(one.identity()) for one in (pair, *others)}) == 7
    assert pair.identity() == Pair("a", first.copy(), last.copy()).identity()
