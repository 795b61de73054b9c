"""FramePack: which time each latent has in each section, and what a warp makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import miniatures
import numpy as np
import pytest
import rope_oracle
from miniature_framepack import HEAD, TEMPORAL
from warping import asked, baseline, uneven, watched_tables

from spf.errors import ConfigError
from spf.generators.weights import FRAMEPACK
from spf.pacing.bands import Strength, flat
from spf.pacing.gamma import gamma
from spf.pacing.generated import retime_generated
from spf.pacing.warp import Warp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def generator(adapters):
    return adapters("framepack")


def sections_of(generator: Any, sections: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """What the transformer is called with, once a section, and the latents (L, ...) of the clip."""
    calls: list[dict[str, Any]] = []
    request = asked(generator, num_frames=sections * generator.factor + 1, steps=1)
    options = generator._common(generator.plan(request), None) | {"output_type": "latent"}
    handle = generator.pipeline.transformer.register_forward_pre_hook(
        lambda module, inputs, named: calls.append(named), with_kwargs=True
    )
    try:
        latents = generator.pipeline(**options).frames[-1][0].numpy()
    finally:
        handle.remove()
    return calls, latents.swapaxes(0, 1)


def times_shown(calls: list[dict[str, Any]], latents: np.ndarray) -> list[set[int]]:
    """The indices under which the model sees each finished latent, found by its content."""
    found: list[set[int]] = [set() for _ in latents]
    for call in calls:
        for kind in ("latents_clean", "latents_history_2x", "latents_history_4x"):
            for index, shown in zip(call[f"indices_{kind}"], call[kind][0].unbind(1), strict=True):
                for number, latent in enumerate(latents):
                    if np.array_equal(shown.numpy(), latent):
                        found[number].add(int(index))
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_latent_has_its_own_time_wherever_it_appears(generator, count):
    width = generator.latent_window
    calls, latents = sections_of(generator, count)
    clock = generator.clock(asked(generator, num_frames=count * generator.factor + 1))
    assert clock.positions.tolist() == list(range(len(latents)))
    assert not clock.unwarpable
    later = range(width + 1, count * width + 1)  # the first section is made last
    known = [{0}, *(set() for _ in range(width)), *({number} for number in later)]
    assert times_shown(calls, latents) == known
    targets = np.concatenate([call["indices_latents"].numpy() for call in calls[::-1]])
    assert targets.tolist() == list(range(1, len(latents)))
    # The given last frame stands right after the clip.
    assert calls[0]["indices_latents_clean"].tolist() == [0, len(latents)]


def test_beyond_four_sections_times_are_no_clock(generator):
    calls, latents = sections_of(generator, 5)
    shown = times_shown(calls, latents)
    assert any(times - {number} for number, times in enumerate(shown))
    targets = [tuple(call["indices_latents"].tolist()) for call in calls]
    assert len(set(targets)) == 4  # two of them share theirs
    request = asked(generator, num_frames=5 * generator.factor + 1)
    clip = generator.generate(request)
    assert len(clip.frames) == 41
    assert "more than 4 sections (33 frames)" in generator.clock(request).unwarpable
    still = Warp(np.arange(11.0), np.zeros(11), flat(1.0), "none")
    for act in (
        lambda: generator.generate(request, still),
        lambda: retime_generated(generator, request, lambda clip: pytest.fail("measured"), "rope"),
    ):
        with pytest.raises(ConfigError, match="framepack: its clock cannot be warped: of more"):
            act()


@pytest.mark.parametrize("schedule", ["none", "exp_up"])
def test_tables_equal_direct_recomputation(generator, schedule):
    warp = uneven(generator, Strength(0.3, 0.9, 2.0), schedule)
    seen = watched_tables(generator, warp)
    sizes = [len(inputs[0]) for _, inputs, *_ in seen]
    assert set(sizes) == {generator.latent_window, 2, 16}  # section, ends and half rate, quarter
    bands = TEMPORAL // 2
    for _, (indices, height, width, _), cos, sin, level in seen:
        index = indices.numpy().astype(float)
        shift = np.interp(index, warp.positions, warp.shift)
        assert (shift[(index == 0) | (index >= 6)] == 0).all()  # ends, and what is not there yet
        strength = [rope_oracle.alpha(b, bands, 0.3, 0.9, 2.0) for b in range(bands)]
        strength = np.array(strength) * float(gamma(schedule, np.array(level)))
        positions = index[:, None] + strength * shift[:, None]
        dims = (TEMPORAL, (HEAD - TEMPORAL) // 2, (HEAD - TEMPORAL) // 2)
        angles = rope_oracle.axes_angles(positions, height // 2, width // 2, dims, 256.0)
        np.testing.assert_allclose(cos, np.cos(angles), atol=5e-6)
        np.testing.assert_allclose(sin, np.sin(angles), atol=5e-6)


def test_the_negative_prompt_counts_under_true_guidance(generator):
    folder = Path(generator.path)
    guided = miniatures.adapter("framepack", folder, true_cfg=4.0)
    guided.__dict__["pipeline"] = generator.pipeline
    one, other = (guided.generate(asked(guided, negative_prompt=x)).frames for x in ("", "blue"))
    assert (one != other).any()
    assert (one != baseline(generator)).any()
    for bad in ({"true_cfg": 0.5}, {"latent_window": 0}, {"latent_window": 2.5}):
        with pytest.raises(ConfigError, match=f"model.{next(iter(bad))}="):
            miniatures.adapter("framepack", folder, **bad)


def test_it_is_fetched_from_three_repositories(generator, monkeypatch, tmp_path, capsys):
    """With a stand-in for the hub: the miniature's components in the repositories' own layout."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import filter_repo_objects

    from scripts import fetch_weights

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    whole = Path(generator.path)
    other = "transformer/diffusion_pytorch_model.safetensors"  # HunyuanVideo's own, of 26 GB
    fetched: list[str] = []

    def snapshot_download(repo: str, revision: str, allow_patterns: list[str]) -> str:
        alone = len(FRAMEPACK[repo]) == 1
        place = whole / next(iter(FRAMEPACK[repo])) if alone else whole
        names = [str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()]
        folder = tmp_path / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
        for name in filter_repo_objects(names, allow_patterns=allow_patterns):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(place / name, folder / name)
            fetched.append(name)
        return str(folder)

    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda self, repo: SimpleNamespace(sha="1" * 40)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    for said in ("fetched", "already here"):
        assert fetch_weights.main(["model=framepack"]) == 0
        assert f"FramePackI2V_HY: {said}, commit 111111111111" in capsys.readouterr().out
    assert other not in fetched
    found = miniatures.kind("framepack")(device="cpu", **miniatures.of("framepack")[1].settings)
    found.case = "framepack"
    found.check()
    assert found.identity()["revision"] == "1" * 40
    for name, part in generator.pipeline.components.items():
        if isinstance(part, torch.nn.Module):
            torch.testing.assert_close(
                getattr(found.pipeline, name).state_dict(), part.state_dict(), rtol=0, atol=0
            )
    clip = found.generate(asked(found))  # the miniature's tokenizer is none of Llama's
    assert clip.frames.shape == baseline(generator).shape
