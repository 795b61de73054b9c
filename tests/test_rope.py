"""The hooks of the warped clock, on complete pipelines in miniature: no trace, no interference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pipelines
import pytest
from warping import WORDS, asked, baseline, uneven, wan_output

from spf.errors import SpfError
from spf.generators.clock import wan_rope
from spf.generators.wan import Wan22
from spf.pacing.bands import flat
from spf.pacing.warp import Warp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=WORDS)
def generator(request, adapters):
    return adapters(request.param)


def hooks(generator: Any) -> list[int]:
    """How many hooks the transformers and everything in them have."""
    experts = {id(rope.transformer): rope.transformer for rope in generator.ropes()}
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs")
    kinds += ("_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called")
    return [
        len(getattr(module, kind))
        for expert in experts.values()
        for module in expert.modules()
        for kind in kinds
    ]


# What must not change anything


def test_zero_strength_and_identity_are_bit_identical(generator):
    request = asked(generator)
    clock = generator.clock(request)
    identity = np.arange(round(clock.frames[-1]) + 1, dtype=float)
    still = uneven(generator, flat(0.0))
    assert np.abs(still.shift).max() > 0.1
    for warp in (still, Warp.from_time_map(clock, identity, flat(1.0), "none")):
        np.testing.assert_array_equal(generator.generate(request, warp).frames, baseline(generator))


def test_removal_restores(generator):
    before = hooks(generator)
    warped = generator.generate(asked(generator), uneven(generator)).frames
    assert hooks(generator) == before
    assert not any(before)
    # Visibly another video: by several grey levels.
    assert np.abs(warped.astype(int) - baseline(generator)).mean() > 1
    np.testing.assert_array_equal(generator.generate(asked(generator)).frames, baseline(generator))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("word", ["i2v", "split"])
def test_exceptions_restore(adapters, word, error):
    generator = adapters(word)

    def stop(step: int, steps: int) -> None:
        raise error

    with pytest.raises(error):
        generator.generate(asked(generator), uneven(generator), watch=stop)
    assert not any(hooks(generator))
    np.testing.assert_array_equal(generator.generate(asked(generator)).frames, baseline(generator))


# Living with hooks


def test_a_second_warp_is_refused_and_the_first_stays():
    transformer = pipelines.wan_transformer()
    ropes = [wan_rope(transformer)]
    warp = Warp(np.arange(5.0), np.array([0, 0.5, 1.0, 0.5, 0]), flat(1.0), "none")
    with warp.applied(ropes):
        warped = wan_output(transformer)
        with pytest.raises(SpfError, match="warped already"), warp.applied([wan_rope(transformer)]):
            pass
        assert torch.equal(wan_output(transformer), warped)
    assert not torch.equal(wan_output(transformer), warped)
    with warp.applied(ropes):  # and it can be warped again afterwards
        assert torch.equal(wan_output(transformer), warped)


def test_offloading(adapters):
    """It moves weights between devices with hooks of its own; here from the CPU to the CPU."""
    plain = adapters("i2v")
    warp = uneven(plain)
    offloaded = pipelines.loaded(Wan22(path=plain.path, device="cpu", offload="model"))
    video = offloaded.generate(asked(plain), warp).frames
    np.testing.assert_array_equal(video, plain.generate(asked(plain), warp).frames)


def test_compiled_transformers():
    transformer = pipelines.wan_transformer()
    ropes = [wan_rope(transformer)]
    warp = Warp(np.arange(5.0), np.array([0, 0.5, 1.0, 0.5, 0]), flat(1.0), "linear")
    plain = wan_output(transformer)
    with warp.applied(ropes):
        warped = wan_output(transformer)
        compiled = torch.compile(transformer, backend="eager")
        torch.testing.assert_close(wan_output(compiled), warped)
        torch.testing.assert_close(wan_output(compiled, 100.0), wan_output(transformer, 100.0))
    torch.testing.assert_close(wan_output(transformer), plain)
    # A whole one would keep the hooks that it was compiled with, or ignore new ones.
    transformer.compile(backend="eager")
    with pytest.raises(SpfError, match="compile_repeated_blocks"), warp.applied(ropes):
        pass
    assert not transformer._forward_pre_hooks
