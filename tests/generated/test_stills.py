"""Pairs that are described in words, and the stills that show them: made, stored, shared, given."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import generators
import harness
import miniature_stills
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from benchmarks.generated.pairs import DESCRIBED, load_pairs
from benchmarks.harness import session
from spf.errors import ConfigError, UnavailableError
from spf.generators.base import GeneratedClip, Request
from spf.generators.stills import StillImage
from spf.generators.text_to_image import Flux, StableDiffusionXL, TextToImage
from spf.generators.tiny.adapter import TinyGenerator
from spf.generators.weights import component_parameters

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = {"sdxl": StableDiffusionXL, "flux": Flux}
WORDS = ["benchmark.pairs=transitions", "benchmark.retimes=[none]"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("text_to_image")
    return {kind: miniature_stills.save(kind, root / kind) for kind in CLASSES}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The descriptions of the stills that were made so far."""
    seen: list[str] = []
    still = TextToImage.still

    def counted(self: TextToImage, description: str, *more: Any) -> np.ndarray:
        seen.append(description)
        return still(self, description, *more)

    monkeypatch.setattr(TextToImage, "still", counted)
    return seen


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What was asked of the generator so far."""
    seen: list[Request] = []
    generate = TinyGenerator.generate

    def noted(self: TinyGenerator, request: Request, *more: Any) -> GeneratedClip:
        seen.append(request)
        return generate(self, request, *more)

    monkeypatch.setattr(TinyGenerator, "generate", noted)
    return seen


def sdxl(folder: Path) -> list[str]:
    return ["stills=sdxl", f"stills.path={folder}", "stills.steps=1", "stills.size=[64,96]"]


def recipe(
    maker: TextToImage,
    words: str = "a cat on a wall",
    size: tuple[int, int] = (64, 96),
    start: StillImage | None = None,
) -> StillImage:
    return StillImage(maker, words, size, maker.identity(), start)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_transitions_are_balanced_and_described_at_both_ends() -> None:
    entries = yaml.safe_load((DESCRIBED / "transitions.yaml").read_text())
    assert len({entry["name"] for entry in entries}) == len(entries) >= 48
    categories = Counter(entry["category"] for entry in entries)
    assert len(categories) == 6
    assert min(categories.values()) >= 8
    for start in range(0, len(entries), 6):  # so that the first so many are balanced
        assert {entry["category"] for entry in entries[start : start + 6]} == set(categories)
    texts = [entry[key] for entry in entries for key in ("prompt", "first_prompt", "last_prompt")]
    assert len(set(texts)) == len(texts)
    assert all(text.isprintable() and text.isascii() for text in texts)
    words = [re.findall(r"\w+|[^\w\s]", text) for text in texts]
    assert max(map(len, words)) <= 55  # CLIP reads 77 tokens, some words are two
    for entry in entries:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", entry["name"])
        first, last = (set(entry[key].split()) for key in ("first_prompt", "last_prompt"))
        assert len(first & last) > 0.6 * len(first | last), entry["name"]  # one composition


def test_stills_are_made_once_and_shared(
    folders: dict[str, Path],
    tiny_weights: Path,
    tmp_path: Path,
    made: list[str],
    asked: list[Request],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*WORDS, *sdxl(folders["sdxl"])]
    config = generators.composed(tiny_weights, tmp_path, *words)
    done = session.run(config)
    stills = sorted((tmp_path / "stills").iterdir())
    assert done.code == 0
    assert "4 stills of 96x64 by sdxl (4 to be made: " in " ".join(capsys.readouterr().err.split())
    assert len(made) == len(stills) == 4
    assert {path.suffix for path in stills} == {".png"}
    first, second = yaml.safe_load((DESCRIBED / "transitions.yaml").read_text())[:2]
    wanted = [entry[key] for entry in (first, second) for key in ("first_prompt", "last_prompt")]
    assert made == wanted
    about = {json.loads(Image.open(path).info["spf"])["description"]: path for path in stills}
    assert set(about) == set(wanted)
    for request, pair in zip(asked, (first, second), strict=True):
        assert request.prompt == pair["prompt"]
        for image, key in ((request.first, "first_prompt"), (request.last, "last_prompt")):
            assert image is not None
            assert np.array_equal(image, pixels(about[pair[key]]))
    table = pd.read_csv(done.folder.path("retimed_pairs.csv"))
    assert list(table["category"]) == ["animal to animal", "object to object"]

    quick = ["benchmark.num_frames=5", "benchmark.steps=1"]
    generators.run(tiny_weights, tmp_path, *words, "embedder=pixels", *quick)
    config.model.path = None  # the shipped generator
    config.benchmark.update(num_frames=5, steps=1)
    session.run(config, quiet=True)
    assert len(made) == 4
    # A damaged still, and one that somebody painted over, are made again.
    before = [pixels(path) for path in stills]
    stills[0].write_bytes(stills[0].read_bytes()[:-200])
    Image.fromarray(255 - before[1]).save(stills[1])
    generators.run(tiny_weights, tmp_path, *words, "benchmark.seeds=[1]")
    assert len(made) == 6
    assert all(np.array_equal(pixels(path), old) for path, old in zip(stills, before, strict=True))
    board = ["benchmark=leaderboard", "embedder=histogram", f"inputs=[{done.folder.root}]"]
    ranked = session.run(harness.compose(*board, f"output={tmp_path}"), quiet=True)
    assert "object to object" in ranked.folder.read("index.html").decode()


def test_stills_of_a_folder_are_used_as_they_are(
    tiny_weights: Path, tmp_path: Path, asked: list[Request]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    names = ["cat-to-lion_first.png", "cat-to-lion_last.webp"]
    for number, name in enumerate(names):
        Image.fromarray(harness.picture(number, 64)).save(folder / name, lossless=True)
    words = [*WORDS, "stills=folder", f"stills.path={folder}", "benchmark.num_pairs=1"]
    done = generators.run(tiny_weights, tmp_path / "out", *words)
    assert done.code == 0
    assert not (tmp_path / "out" / "stills").exists()
    assert np.array_equal(asked[0].first, harness.picture(0, 64))
    assert asked[0].last is not None
    assert np.array_equal(asked[0].last, harness.picture(1, 64))
    Image.fromarray(harness.picture(2, 64)).save(folder / names[0])
    again = generators.run(tiny_weights, tmp_path / "out", *words)
    assert again.results.reused == 0  # another image is another clip
    with pytest.raises(ConfigError, match="2 of 4 stills are missing") as error:
        generators.made(tiny_weights, *words, "benchmark.num_pairs=2")
    assert str(error.value).startswith(str(folder / "apple-to-light-bulb_first.png"))
    Image.fromarray(harness.picture(2, 32)).save(folder / names[0])
    with pytest.raises(
        ConfigError, match="stills of pair 'cat-to-lion': its frames differ in size"
    ):
        generators.made(tiny_weights, *words)


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_a_still_is_determined_by_its_recipe(
    kind: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    settings = {"path": folders[kind], "device": "cpu", "steps": 2}
    first = recipe(CLASSES[kind](**settings))
    image = first.image(tmp_path)
    assert (image.shape, image.dtype) == ((64, 96, 3), np.uint8)
    assert np.array_equal(first.image(tmp_path), image)
    twin = CLASSES[kind](**settings)
    assert np.array_equal(twin.still("a cat on a wall", (64, 96), 0), image)
    mild = CLASSES[kind](**settings, strength=0.5)
    others = [
        recipe(twin, "a lion on a wall"),
        recipe(twin, size=(96, 64)),
        recipe(CLASSES[kind](**settings, seed=1)),
        recipe(CLASSES[kind](**settings | {"steps": 1})),
        recipe(CLASSES[kind](**settings, guidance=1.5)),
        recipe(mild, start=first),
    ]
    paths = {one.path(tmp_path) for one in (first, *others)}
    assert len(paths) == 7  # strength alone moves no still that is made from noise
    assert recipe(mild).path(tmp_path) in paths
    for other in others:
        found = other.image(tmp_path)
        assert found.shape != image.shape or np.abs(found.astype(int) - image).max() > 0
    painted = mild.still("a lion on a wall", (64, 96), 0, 255 - image)
    assert not np.array_equal(painted, mild.still("a lion on a wall", (64, 96), 0, image))


def test_stills_have_the_models_area_in_the_shape_of_the_clip(folders: dict[str, Path]) -> None:
    for clip, size in (
        ((480, 832), (768, 1344)),
        ((512, 512), (1024, 1024)),
        ((32, 8), (2048, 512)),
    ):
        assert StableDiffusionXL().size_for(clip) == size
    small = StableDiffusionXL(path=folders["sdxl"], device="cpu")
    pairs = load_pairs("transitions", (480, 832), 2, small)
    assert [still.size for pair in pairs for still in pair.stills] == [(768, 1344)] * 4
    assert {pair.first.shape for pair in pairs} == {(768, 1344, 3)}


def test_files_of_half_precision_are_loaded_where_there_are_no_others(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    half = miniature_stills.save("sdxl", tmp_path / "half", variant="fp16")
    assert list(half.glob("unet/*")) != []
    assert {file.suffixes[0] for file in half.glob("*/*.safetensors")} == {".fp16"}
    words = {"device": "cpu", "steps": 1}
    one, other = (StableDiffusionXL(path=path, **words) for path in (half, folders["sdxl"]))
    assert np.array_equal(one.still("a cat", (64, 64), 0), other.still("a cat", (64, 64), 0))
    alone = component_parameters(half, "")
    for file in folders["sdxl"].glob("*/*.safetensors"):
        (half / file.relative_to(folders["sdxl"])).write_bytes(file.read_bytes())
    assert component_parameters(half, "") == alone  # of two copies one counts


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["benchmark.pairs=transitions"], ConfigError, "choose stills=sdxl or stills=flux"),
        (["stills=folder", "stills.path=."], ConfigError, "pairs=procedural has images"),
        ([*WORDS, "stills=folder"], ConfigError, "stills.path=FOLDER"),
        ([*WORDS, "stills=folder", "stills.path=."], ConfigError, "4 of 4 stills are missing"),
        ([*WORDS, "stills=sdxl"], UnavailableError, "make weights STILLS=sdxl, or stills.path="),
        ([*WORDS, "stills=flux"], UnavailableError, "about 34 GB in bfloat16"),
        (
            [*WORDS, "stills=flux", "stills.variant=schnell"],
            UnavailableError,
            "make weights STILLS=flux/schnell",
        ),
        ([*WORDS, "stills=sdxl", "stills.path=."], UnavailableError, "stills.path=.: this is no"),
        ([*WORDS, "stills=sdxl", "stills.variant=dev"], ConfigError, "variant of sdxl 'dev'"),
        ([*WORDS, "stills=sdxl", "stills.strength=2"], ConfigError, "stills.strength=2"),
        ([*WORDS, "stills=sdxl", "stills.strength=0.01"], ConfigError, "from 0.02 to 1"),
        ([*WORDS, "stills=sdxl", "stills.steps=0"], ConfigError, "stills.steps=0"),
        ([*WORDS, "stills=sdxl", "stills.seed=-1"], ConfigError, "stills.seed=-1"),
        ([*WORDS, "stills=sdxl", "stills.guidance=-1"], ConfigError, "stills.guidance=-1"),
        ([*WORDS, "stills=sdxl", "stills.size=[1,1]"], ConfigError, "64 to 4096 each"),
        ([*WORDS, "stills=sdxl", "stills.size=5"], ConfigError, "stills.size=5 must be"),
        (
            ["benchmark=synthetic_pacing", "stills=folder", "stills.path=."],
            ConfigError,
            "benchmark=synthetic_pacing needs no stills; use stills=none",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_before_any_work(
    words: list[str],
    kind: type[Exception],
    said: str,
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TextToImage, "still", lambda *_: pytest.fail("work began"))
    more = ["benchmark.num_pairs=2"] if words[0] in WORDS else []
    config = harness.compose("embedder=histogram", *words, *more, f"model.path={tiny_weights}")
    with pytest.raises(kind, match=re.escape(said)) as error:
        session.run(config, quiet=True)
    harness.check_one_line(str(error.value))
    assert not (tmp_path / "results").exists()


def test_weights_of_stills_have_words() -> None:
    from scripts import fetch_weights

    (pin,) = fetch_weights.pins_of("stills=sdxl")
    assert pin.repo == "stabilityai/stable-diffusion-xl-base-1.0"  # type: ignore[union-attr]
    (pin,) = fetch_weights.pins_of("stills=flux/schnell")
    assert pin.repo == "black-forest-labs/FLUX.1-schnell"  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="STILLS=WORD, one of sdxl, flux"):
        fetch_weights.pins_of("stills=")
