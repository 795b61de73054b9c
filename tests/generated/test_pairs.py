import harness
import numpy as np
import pytest
import yaml
from clips import refused
from PIL import Image

from benchmarks.generated.pairs import PHRASES, Pair, load_pairs
from spf.errors import ConfigError
from spf.generators.stills import FolderOfStills
from synthetic.morph_pairs import HELD_OUT_PAIRS
from synthetic.photographs import PHOTOGRAPHS, photograph

SIZE = (24, 32)
GOOD = {"name": "cat to lion", "first": "a.png", "last": "b.png"}
WORDS = {"name": "in words", "first_prompt": "a cat"}


def picture(path, number, size=32):
    Image.fromarray(harness.picture(number, size)).save(path)


@pytest.fixture
def written(tmp_path):
    for name, number, size in (("a", 0, 32), ("b", 1, 32), ("large", 2, 64)):
        picture(tmp_path / f"{name}.png", number, size)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    path = tmp_path / "pairs.yaml"

    def write(content):
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(path)

    return write


def test_procedural_pairs_are_the_held_out_morphs_with_their_truth():
    pairs = load_pairs("procedural", SIZE)
    assert len({pair.name for pair in pairs}) == len(pairs) == len(HELD_OUT_PAIRS) >= 16
    for pair, (content, seed) in zip(pairs, HELD_OUT_PAIRS, strict=True):
        paint = content.painter(SIZE, seed=seed)
        assert np.array_equal([pair.first, pair.last], [paint(0.0), paint(1.0)])
    oracle = pairs[0].oracle
    frames = np.stack([pairs[0].painter(p) for p in (0.25, 0.75)])
    assert np.abs(oracle.parameter(frames) - (0.25, 0.75)).max() <= oracle.step
    assert load_pairs("procedural", (144, 144))[0].oracle is None


def test_photographs_are_at_the_size_of_the_model_with_a_prompt_each():
    pairs = load_pairs("photographs", SIZE)
    assert len({pair.name for pair in pairs}) == len(pairs) >= 10
    for pair in pairs:
        assert pair.first.shape == (*SIZE, 3)
        assert pair.oracle is None
        assert "gradually turns into" in pair.prompt
    (cat,) = (pair for pair in pairs if pair.name == "cat-motorcycle")
    assert np.array_equal(cat.first, photograph("cat", SIZE))
    assert set(PHRASES) == set(PHOTOGRAPHS)


def test_a_users_pairs(written, tmp_path):
    told = {"prompt": "a cat", "negative_prompt": "blur", "category": "animals"}
    outside = harness.touch(tmp_path, "elsewhere/c.png") / "elsewhere" / "c.png"
    picture(outside, 7)
    path = written([GOOD | told, {"name": "free", "first": str(outside)}])
    first, second = load_pairs(path, SIZE)
    assert np.array_equal([first.first, first.last], [harness.picture(x) for x in (0, 1)])
    assert vars(first).items() >= ({"name": "cat to lion"} | told).items()
    assert np.array_equal(second.first, harness.picture(7))
    assert (second.last, second.prompt, second.negative_prompt) == (None, "", None)


def test_a_file_may_hold_images_and_descriptions(written, tmp_path):
    stills = FolderOfStills(tmp_path)
    picture(tmp_path / "in words_first.png", 5)
    described, shown = load_pairs(written([WORDS, GOOD | {"prompt": "it"}]), SIZE, None, stills)
    assert np.array_equal(described.first, harness.picture(5))
    assert (described.name, described.last, described.category) == ("in words", None, "")
    assert np.array_equal(shown.first, harness.picture(0))
    assert shown.prompt == "it"
    for content, count, said in (
        ([WORDS, GOOD], 3, "num_pairs=3 must be a whole number from 1 to 2"),
        ([WORDS | {"name": "../a"}], None, "without slashes"),
        ([GOOD], None, "has images and no descriptions; use stills=none"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_pairs(written(content), SIZE, count, stills)


@pytest.mark.parametrize(("content", "words"), [
    ("- {name: [", "no valid YAML"), ("", "there is no list of pairs"),
    (["a.png"], "pair 1 is 'a.png'"), ([GOOD, {"name": "x"}], "pair 2 has no first"),
    ([GOOD | {"promt": "x"}], "did you mean prompt"),
    ([GOOD, WORDS | {"last": "b.png"}], "pair 2 has first_prompt and last"),
    ([{"name": "x", "last_prompt": "a lion"}], "pair 1 has no first"),
    ([WORDS | {"last_prompt": " "}], "last_prompt=' ' must be text"),
    ([GOOD, WORDS], "pair 'in words': the frames are described in words; choose stills=sdxl"),
    ([GOOD | {"name": 7}], "name=7 must be text"), ([GOOD | {"name": "a\nb"}], "one line"),
    ([GOOD | {"last": "none.png"}], "none.png"), ([GOOD | {"last": "broken.png"}], "broken.png"),
    ([GOOD | {"last": "large.png"}], "differ in size .32x32 and 64x64."),
    ([GOOD, GOOD], "'cat to lion' is taken already"),
])  # fmt: skip
def test_what_is_wrong_with_a_file_is_said_in_one_line(content, words, written):
    with refused(words):
        load_pairs(written(content), SIZE)


def test_unknown_sets_are_refused():
    for source in ("photos", "no/such.yaml", "", 7, ["procedural"]):
        with pytest.raises(ConfigError, match=r"^.+$"):  # one line
            load_pairs(source, SIZE)


def test_identities_distinguish_pairs():
    first, last, other = (harness.picture(number) for number in range(3))
    changes = [
        {}, {"name": "b"}, {"last": other}, {"last": None}, {"prompt": "x"},
        {"negative_prompt": "x"}, {"painter": lambda p: other},
    ]  # fmt: skip
    made = [Pair(**{"name": "a", "first": first, "last": last} | change) for change in changes]
    assert len({repr(pair.identity()) for pair in made}) == 7
    assert made[0].identity() == Pair("a", first.copy(), last.copy()).identity()
