import json
import re
from copy import deepcopy

import generators
import harness
import numpy as np
import pipelines
import pytest
import yaml
from PIL import Image

from benchmarks.generated.pairs import DESCRIBED
from benchmarks.harness import session
from spf.errors import ConfigError, UnavailableError
from spf.generators.stills import StillImage
from spf.generators.text_to_image import Flux, StableDiffusionXL, TextToImage
from spf.generators.tiny.adapter import TinyGenerator
from spf.generators.weights import component_parameters

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = pipelines.TEXT
TOKENS = 256  # that are read; each is a byte


def save_stills(kind, folder, **saved):
    import torch

    torch.manual_seed(1)
    {"sdxl": _sdxl, "flux": _flux}[kind]().save_pretrained(folder, **saved)
    return folder


def _tokenizer():
    found = deepcopy(pipelines.tokenizer())
    found.model_max_length = TOKENS
    return found


def _text(kind="CLIPTextModel"):
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=300, hidden_size=WIDTH, intermediate_size=32, projection_dim=WIDTH,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=TOKENS,
        bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return getattr(transformers, kind)(config).eval()


def _vae(**more):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, **more,
    ).eval()  # fmt: skip


def _sdxl():
    import diffusers

    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=32, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(2, 4),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH, cross_attention_dim=2 * WIDTH,
    )  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_text(),
        text_encoder_2=_text("CLIPTextModelWithProjection"), tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(), unet=unet.eval(), scheduler=diffusers.EulerDiscreteScheduler(),
    )  # fmt: skip


def _flux():
    import diffusers

    transformer = diffusers.FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH,
        guidance_embeds=True, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
        text_encoder=_text(), tokenizer=_tokenizer(),
        text_encoder_2=pipelines.text_encoder(), tokenizer_2=_tokenizer(),
        transformer=transformer.eval(),
    )  # fmt: skip


CLASSES = {"sdxl": StableDiffusionXL, "flux": Flux}
WORDS = ["benchmark.pairs=transitions", "benchmark.retimes=[none]"]
QUICK = ["benchmark.num_frames=5", "benchmark.steps=1"]
ENDS = "first_prompt", "last_prompt"
ENTRIES = yaml.safe_load((DESCRIBED / "transitions.yaml").read_text())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("text_to_image")
    return {kind: save_stills(kind, root / kind) for kind in CLASSES}


def noting(monkeypatch, kind, name):
    seen, original = [], getattr(kind, name)

    def noted(self, first, *more):
        seen.append(first)
        return original(self, first, *more)

    monkeypatch.setattr(kind, name, noted)
    return seen


@pytest.fixture
def asked(monkeypatch):
    return noting(monkeypatch, TinyGenerator, "generate")


def recipe(maker, words="a cat on a wall", size=(64, 96), start=None):
    return StillImage(maker, words, size, maker.identity(), start)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_transitions_are_balanced_and_described_at_both_ends():
    assert len({entry["name"] for entry in ENTRIES}) == len(ENTRIES) >= 48
    for start in range(0, len(ENTRIES), 6):  # so that the first so many are balanced
        assert len({entry["category"] for entry in ENTRIES[start : start + 6]}) == 6
    texts = [entry[key] for entry in ENTRIES for key in ("prompt", *ENDS)]
    assert len(set(texts)) == len(texts)
    # CLIP reads 77 tokens, some words are two.
    assert max(len(re.findall(r"\w+|[^\w\s]", text)) for text in texts) <= 55
    for entry in ENTRIES:
        first, last = (set(entry[key].split()) for key in ENDS)
        assert len(first & last) > 0.6 * len(first | last), entry["name"]  # one composition


def test_stills_are_made_once(folders, tiny_weights, tmp_path, asked, monkeypatch, capsys):
    made = noting(monkeypatch, TextToImage, "still")  # their descriptions
    sdxl = [f"stills.path={folders['sdxl']}", "stills.steps=1", "stills.size=[64,96]"]
    words = [*WORDS, "stills=sdxl", *sdxl]
    config = generators.composed(tiny_weights, tmp_path, *words)
    done = session.run(config)
    stills = sorted((tmp_path / "stills").iterdir())
    assert done.code == 0
    assert "4 stills of 96x64 by sdxl (4 to be made: " in " ".join(capsys.readouterr().err.split())
    assert made == [entry[key] for entry in ENTRIES[:2] for key in ENDS]
    about = {json.loads(Image.open(path).info["spf"])["description"]: path for path in stills}
    assert set(about) == set(made)
    for request, entry in zip(asked, ENTRIES[:2], strict=True):
        assert request.prompt == entry["prompt"]
        for image, key in zip((request.first, request.last), ENDS, strict=True):
            assert np.array_equal(image, pixels(about[entry[key]]))
    config.model.path = None  # the shipped generator
    config.benchmark.update(num_frames=5, steps=1)
    session.run(config, quiet=True)
    assert len(made) == 4
    # A damaged still, and one that somebody painted over, are made again.
    before = [pixels(path) for path in stills]
    stills[0].write_bytes(stills[0].read_bytes()[:-200])
    Image.fromarray(255 - before[1]).save(stills[1])
    generators.run(tiny_weights, tmp_path, *words, *QUICK, "benchmark.seeds=[1]")
    assert len(made) == 6
    assert all(np.array_equal(pixels(path), old) for path, old in zip(stills, before, strict=True))
    board = ["benchmark=leaderboard", "embedder=histogram", f"inputs=[{done.folder.root}]"]
    ranked = session.run(harness.compose(*board, f"output={tmp_path}"), quiet=True)
    assert "object to object" in ranked.folder.read("index.html").decode()


def test_stills_of_a_folder_are_used_as_they_are(tiny_weights, tmp_path, asked):
    folder = tmp_path / "mine"
    folder.mkdir()

    def put(number, size=64, name="cat-to-lion_first.png"):
        Image.fromarray(harness.picture(number, size)).save(folder / name, lossless=True)

    put(0)
    put(1, name="cat-to-lion_last.webp")
    words = [*WORDS, *QUICK, "stills=folder", f"stills.path={folder}", "benchmark.num_pairs=1"]
    assert generators.run(tiny_weights, tmp_path / "out", *words).code == 0
    assert not (tmp_path / "out" / "stills").exists()
    for image, number in ((asked[0].first, 0), (asked[0].last, 1)):
        assert np.array_equal(image, harness.picture(number, 64))
    put(2)
    again = generators.run(tiny_weights, tmp_path / "out", *words)
    assert again.results.reused == 0  # another image is another clip
    with pytest.raises(ConfigError, match="2 of 4 stills are missing") as error:
        generators.made(tiny_weights, *words, "benchmark.num_pairs=2")
    assert str(error.value).startswith(str(folder / "apple-to-light-bulb_first.png"))
    put(2, 32)
    with pytest.raises(ConfigError, match="pair 'cat-to-lion': its frames differ in size"):
        generators.made(tiny_weights, *words)


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_a_still_is_determined_by_its_recipe(kind, folders, tmp_path):
    settings = {"path": folders[kind], "device": "cpu", "steps": 2}

    def maker(**more):
        return CLASSES[kind](**settings | more)

    first = recipe(maker())
    image = first.image(tmp_path)
    assert (image.shape, image.dtype) == ((64, 96, 3), np.uint8)
    assert np.array_equal(first.image(tmp_path), image)
    twin, mild = maker(), maker(strength=0.5)
    assert np.array_equal(twin.still("a cat on a wall", (64, 96), 0), image)
    others = [recipe(maker(**one)) for one in ({"seed": 1}, {"steps": 1}, {"guidance": 1.5})]
    others += [recipe(twin, "a lion on a wall"), recipe(twin, size=(96, 64))]
    others.append(recipe(mild, start=first))
    paths = {one.path(tmp_path) for one in (first, *others)}
    assert len(paths) == 7  # strength alone moves no still that is made from noise
    assert recipe(mild).path(tmp_path) in paths
    assert not any(np.array_equal(other.image(tmp_path), image) for other in others)


def test_files_of_half_precision_are_loaded_where_there_are_no_others(folders, tmp_path):
    half = save_stills("sdxl", tmp_path / "half", variant="fp16")
    assert list(half.glob("unet/*")) != []
    assert {file.suffixes[0] for file in half.glob("*/*.safetensors")} == {".fp16"}
    makers = (StableDiffusionXL(path=x, device="cpu", steps=1) for x in (half, folders["sdxl"]))
    assert np.array_equal(*(maker.still("a cat", (64, 64), 0) for maker in makers))
    alone = component_parameters(half, "")
    for file in folders["sdxl"].glob("*/*.safetensors"):
        (half / file.relative_to(folders["sdxl"])).write_bytes(file.read_bytes())
    assert component_parameters(half, "") == alone  # of two copies one counts


@pytest.mark.parametrize(("words", "said"), [
    ("benchmark.pairs=transitions", "choose stills=sdxl or stills=flux"),
    ("stills=folder stills.path=.", "pairs=procedural has images"),
    ("+ stills=folder", "stills.path=FOLDER"),
    ("+ stills=folder stills.path=.", "4 of 4 stills are missing"),
    ("+ stills=sdxl", "make weights STILLS=sdxl, or stills.path="),
    ("+ stills=flux", "about 34 GB in bfloat16"),
    ("+ stills=sdxl stills.path=.", "stills.path=.: this is no"),
    ("+ stills=sdxl stills.variant=dev", "variant of sdxl 'dev'"),
    *((f"+ stills=sdxl stills.{x}", f"stills.{x}") for x in ("strength=2", "steps=0", "size=5")),
    ("benchmark=synthetic_pacing stills=folder stills.path=.", "write stills=none"),
])  # fmt: skip
def test_what_cannot_be_shown_is_refused(words, said, tiny_weights, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TextToImage, "still", lambda *_: pytest.fail("work began"))
    chosen = words.replace("+", " ".join([*WORDS, "benchmark.num_pairs=2"])).split()
    config = harness.compose("embedder=histogram", f"model.path={tiny_weights}", *chosen)
    absent = any(part in said for part in ("weights", "GB", "this is no"))
    with pytest.raises(UnavailableError if absent else ConfigError, match=re.escape(said)) as error:
        session.run(config, quiet=True)
    harness.check_one_line(str(error.value))
    assert not (tmp_path / "results").exists()


def test_weights_of_stills_have_words():
    from scripts import fetch_weights

    (pin,) = fetch_weights.pins_of("stills=flux/schnell")
    assert pin.repo == "black-forest-labs/FLUX.1-schnell"
    with pytest.raises(ConfigError, match="STILLS=WORD, one of sdxl, flux"):
        fetch_weights.pins_of("stills=")


@pytest.mark.parametrize(("clip", "size"), [((480, 832), (768, 1344)), ((32, 8), (2048, 512))])
def test_stills_have_the_models_area_in_the_shape_of_the_clip(clip, size):
    assert StableDiffusionXL().size_for(clip) == size
