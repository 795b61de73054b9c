"""Warp the temporal rotary embedding of a transformer with removable hooks.

A rotary table holds cos and sin of omega_b p_t. Moving position p_t of band b by s_tb turns its
entries by Delta = omega_b s_tb, whatever the table was made from:

    cos' = cos cos(Delta) - sin sin(Delta)        sin' = sin cos(Delta) + cos sin(Delta)

Delta = 0 leaves every bit as it is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from spf.errors import SpfError
from spf.generators.clock import TemporalRope
from spf.pacing.warp import Warp, gamma

_WARPED: set[int] = set()
"""Rope modules (by id) that are warped now."""


@contextmanager
def warped(ropes: Sequence[TemporalRope], warp: Warp) -> Iterator[None]:
    """Warp the temporal rotary tables of these ropes within the context; no trace is left after it,
    however it ends.

    A hook on the transformer reads the noise level of each call, one on the rope turns the table
    that it returns; calls are never counted. Offloading, casting and saving go on as without it.

    Raises SpfError where a rope is warped already (add the corrections in one `Warp`), and where
    the transformer was compiled as a whole: such code ignores hooks that come later, and goes on
    calling those that it was compiled with. `transformer.compile_repeated_blocks()` leaves the rope
    alone.
    """
    for rope in ropes:
        if id(rope.rope) in _WARPED:
            raise SpfError("this rope is warped already; leave that warp first, or add to it")
        if _compiled(rope.transformer) or _compiled(rope.rope):
            remedy = "compile its blocks instead: transformer.compile_repeated_blocks()"
            raise SpfError(f"a transformer that is compiled as a whole cannot be warped; {remedy}")
    handles: list[Any] = []
    names = {id(rope.rope) for rope in ropes}
    try:
        _WARPED.update(names)
        for rope in ropes:
            turner = _Turner(rope, warp)
            before = rope.transformer.register_forward_pre_hook(turner.remember, with_kwargs=True)
            after = rope.rope.register_forward_hook(turner.turn, with_kwargs=True)
            handles += [before, after]
        yield
    finally:
        for handle in handles:
            handle.remove()
        _WARPED.difference_update(names)


def _compiled(module: Any) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


class _Turner:
    """The two hooks on one rope, and the noise level that one leaves for the other."""

    def __init__(self, rope: TemporalRope, warp: Warp) -> None:
        self.rope = rope
        self.gamma = warp.gamma
        self.positions = torch.from_numpy(warp.positions.copy())
        self.shift = torch.from_numpy(warp.shift.copy())
        rates = torch.from_numpy(rope.omega * warp.strength.of(rope.omega))
        self.rates = rates.repeat_interleave(rope.layout.width)
        self.channels = torch.from_numpy(rope.layout.channels(len(rope.omega)).ravel())
        self.level: Tensor | None = None

    def remember(self, module: Any, inputs: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        """Before the transformer runs: remember the noise level."""
        try:
            self.level = self.rope.noise_level(arguments)
        except KeyError as missing:
            name = type(module).__name__
            raise SpfError(
                f"{name} was called without the keyword {missing}: no noise level"
            ) from None

    def turn(
        self,
        module: Any,
        inputs: tuple[Any, ...],
        named: dict[str, Any],
        tables: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """After the rope ran: its tables, turned."""
        cos, sin = tables
        if self.level is None:
            raise SpfError("the rope ran outside of its transformer: no noise level")
        delta = self._delta(self.rope.positions(module, (*inputs, *named.values())).to(cos.device))
        kind = torch.promote_types(cos.dtype, torch.float32)
        turn_cos, turn_sin = delta.cos().to(kind), delta.sin().to(kind)
        old_cos, old_sin = self._temporal(cos, len(delta)), self._temporal(sin, len(delta))
        new_cos = old_cos * turn_cos - old_sin * turn_sin
        new_sin = old_sin * turn_cos + old_cos * turn_sin
        return self._with(cos, new_cos), self._with(sin, new_sin)

    def _delta(self, positions: Tensor) -> Tensor:
        """Delta (M, 1, C) float64, radians, of tokens at positions (M,) in the temporal channels.

        The shift between latents is interpolated, and outside of them that of the nearest.
        """
        device = positions.device
        knots, shift = self.positions.to(device), self.shift.to(device)
        at = positions.to(torch.float64)
        right = torch.searchsorted(knots, at, right=True).clamp(1, len(knots) - 1)
        share = ((at - knots[right - 1]) / (knots[right] - knots[right - 1])).clamp(0.0, 1.0)
        moved = shift[right - 1] + share * (shift[right] - shift[right - 1])
        assert self.level is not None
        acting = gamma(self.gamma, self.level.to(device=device, dtype=torch.float64), torch)
        return (acting * moved)[:, None, None] * self.rates.to(device)

    def _temporal(self, table: Tensor, count: int) -> Tensor:
        """The temporal channels (B, M, repeat, C) of a table, M = count."""
        view, head, channel = self._places(table)
        return view[:, :, head, channel].unflatten(1, (count, -1))

    def _with(self, table: Tensor, values: Tensor) -> Tensor:
        """A copy of a table with other temporal channels."""
        table = table.clone()
        view, head, channel = self._places(table)
        view[:, :, head, channel] = values.flatten(1, 2).to(table.dtype)
        return table

    def _places(self, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A view (B, N, heads, channels) of a table, and where the temporal channels lie in it."""
        axis = self.rope.layout.heads_axis
        table = table if table.ndim > 2 else table[None]
        view = table.unsqueeze(2) if axis is None else table.movedim(axis, 2)
        channels = self.channels.to(table.device)
        return view, channels // view.shape[-1], channels % view.shape[-1]
