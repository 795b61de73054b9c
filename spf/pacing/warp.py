"""A warp of a generator's clock: how far each latent moves, in which bands, at which noise."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spf.generators.clock import Clock, TemporalRope
from spf.pacing.bands import Strength
from spf.pacing.gamma import Gamma, check_gamma

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Warp:
    """Positions p_t(b) = t + gamma alpha_b shift_t of latents t in bands b.

    positions : (L,) float64, the latents' own, in the model's unit (see `Clock`).
    shift : (L,) float64, in the same unit; several corrections add up.
    strength : alpha_b. gamma : a name of `SCHEDULES`, or a window of noise levels.

    Raises ValueError for shifts of another shape or not finite, ConfigError for an unknown gamma.
    """

    positions: Array
    shift: Array
    strength: Strength = field(default_factory=Strength)
    gamma: Gamma = "exp_up"

    def __post_init__(self) -> None:
        check_gamma(self.gamma)
        if self.positions.ndim != 1 or self.shift.shape != self.positions.shape:
            shapes = f"{self.positions.shape} and {self.shift.shape}"
            raise ValueError(f"positions and shift must be (L,), not {shapes}")
        if not (np.isfinite(self.shift).all() and np.isfinite(self.positions).all()):
            raise ValueError("positions and shift of a warp must be finite numbers")

    @classmethod
    def from_time_map(
        cls, clock: Clock, tau: Array, strength: Strength | None = None, gamma: Gamma = "exp_up"
    ) -> "Warp":
        """The warp that shows source position tau_k (N,) at output frame k; see `Clock.shift`."""
        return cls(clock.positions, clock.shift(tau), strength or Strength(), gamma)

    def corrected(self, more: Array) -> "Warp":
        """The warp with another shift (L,) added: p_t(b) + alpha_b more_t in every band."""
        return replace(self, shift=self.shift + more)

    def composed(self, more: Array) -> "Warp":
        """The warp that shows at latent t what this one, at full strength, shows at t + more_t:
        p(t + more_t), linear between latents."""
        shown = np.interp(self.positions + more, self.positions, self.positions + self.shift)
        return replace(self, shift=shown - self.positions)

    def applied(self, ropes: Sequence[TemporalRope]) -> AbstractContextManager[None]:
        """Warp these ropes as long as the context lasts; see `warped`."""
        from spf.pacing.rope import warped

        return warped(ropes, self)

    def identity(self) -> dict[str, Any]:
        """Everything that determines what it does, as plain values."""
        return {
            "positions": self.positions.tolist(),
            "shift": self.shift.tolist(),
            "strength": asdict(self.strength),
            "gamma": self.gamma,
        }
