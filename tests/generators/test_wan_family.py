"""Wan 2.1 and SkyReels-V2: what is given reaches the model, each frame at its own end."""

from __future__ import annotations

import miniature_skyreels
import numpy as np
import pipelines
import pytest
from adapters import FIRST, LAST, asked, one_line
from warping import uneven

from spf.errors import ConfigError
from spf.generators.skyreels import SkyReels
from spf.generators.wan21 import Wan21

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("last", [LAST, None])
def test_vace_keeps_what_is_given_and_makes_the_rest(adapters, monkeypatch, last):
    """An open end is one that the model makes itself."""
    wan = adapters("wan21/vace-1.3b")
    seen = []
    given = wan.pipeline.prepare_video_latents
    monkeypatch.setattr(
        wan.pipeline,
        "prepare_video_latents",
        lambda video, mask, *rest: seen.append((video, mask, rest[0])) or given(video, mask, *rest),
    )
    clip = wan.generate(asked(last=last))
    assert clip.frames.shape == (9, 32, 48, 3)
    [(video, mask, references)] = seen
    assert video.shape == (1, 3, 9, 32, 48)  # not transposed
    assert references == [[]]
    kept = [0] if last is None else [0, 8]
    for index in range(9):
        image = {0: FIRST, 8: last}[index].astype(float) / 127.5 - 1 if index in kept else 0.0
        shown = video[0, :, index].permute(1, 2, 0).double().numpy()
        np.testing.assert_allclose(shown, np.broadcast_to(image, shown.shape), atol=1e-6)
        assert (mask[0, :, index] == (index not in kept)).all()


def test_control_tokens_of_vace_are_warped_with_the_others(adapters):
    wan = adapters("wan21/vace-1.3b")
    transformer, tables, handles = wan.pipeline.transformer, [], []
    for block in (*transformer.blocks, *transformer.vace_blocks):
        handles.append(
            block.register_forward_pre_hook(lambda _, inputs: tables.append(inputs[-1][1].clone()))
        )
    try:
        wan.generate(asked(num_frames=13, steps=1, guidance=1.0))
        wan.generate(asked(num_frames=13, steps=1, guidance=1.0), uneven(wan))
    finally:
        for handle in handles:
            handle.remove()
    plain, warped = tables[:3], tables[3:]  # the control block and two others, each once
    assert all(torch.equal(table, plain[0]) for table in plain)
    assert len(warped) == 3
    assert all(torch.equal(table, warped[0]) for table in warped)
    assert not torch.allclose(warped[0], plain[0], atol=0.1)


def test_skyreels_joins_the_tokens_of_both_images(adapters, tmp_path):
    """As a transformer does in diffusers alone that has positions for image tokens, all zero."""
    from diffusers import SkyReelsV2ImageToVideoPipeline
    from PIL import Image

    published = adapters("skyreels")
    folder = miniature_skyreels.save(tmp_path, pos_embed_seq_len=2 * 5)
    other = SkyReels(path=folder, device="cpu")
    weights = published.pipeline.transformer.state_dict()
    name = "condition_embedder.image_embedder.pos_embed"
    weights[name] = torch.zeros_like(other.pipeline.transformer.state_dict()[name])
    other.pipeline.transformer.load_state_dict(weights)
    wanted = pipelines.loaded(other).generate(asked()).frames
    assert "encode_image" not in vars(other.pipeline)
    np.testing.assert_array_equal(published.generate(asked()).frames, wanted)

    bare = SkyReelsV2ImageToVideoPipeline.from_pretrained(published.path)
    first, last = (Image.fromarray(x) for x in (FIRST, LAST))
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):  # else drop our change
        bare(first, "a cat", last_image=last, height=32, width=48, num_frames=9, output_type="np")


def test_skyreels_samples_with_the_documented_flow_shift(adapters):
    """A level t of the even schedule becomes s t / (1 + (s - 1) t), whatever is stored."""
    generator, seen = adapters("skyreels"), {}
    for shift in (None, 1.0, 2.0):
        other = SkyReels(path=generator.path, device="cpu", flow_shift=shift)
        other.__dict__["pipeline"] = generator.pipeline
        levels: list[float] = []
        handle = generator.pipeline.transformer.register_forward_pre_hook(
            lambda _, inputs, arguments, to=levels: to.append(float(arguments["timestep"].max())),
            with_kwargs=True,
        )
        try:
            other.generate(asked(steps=4, guidance=1.0))
        finally:
            handle.remove()
        seen[shift] = np.array(levels) / 1000
    even = seen[1.0]
    for shift, acting in ((None, 5.0), (2.0, 2.0)):
        wanted = acting * even / (1 + (acting - 1) * even)
        np.testing.assert_allclose(seen[shift], wanted, atol=0.002)  # timesteps are whole numbers
    assert generator.settings(asked())["flow_shift"].value == 5.0
    assert generator.pipeline.scheduler.config.flow_shift == 1.0


def test_requests_that_they_cannot_fulfil():
    for act in (
        lambda: Wan21("flf2v").generate(asked(last=None)),
        lambda: Wan21("vace"),
        lambda: SkyReels("flf2v"),
    ):
        with pytest.raises(ConfigError, match=r"needs a last frame|unknown variant") as caught:
            act()
        one_line(caught)
