"""What a picture must be; each failure is one line that names the remedy."""

from spf.errors import ConfigError

MIN_SIDE = 16
"""Smallest side of a picture in pixels: below it neither scenes nor H.264 make sense."""


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size as (height, width) of integers; ConfigError for a picture that is too small."""
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError):
        raise ConfigError(f"size={size!r} is not (height, width) in pixels") from None
    if min(height, width) < MIN_SIDE:
        raise ConfigError(
            f"size {height}x{width} is too small for a picture; use at least {MIN_SIDE}x{MIN_SIDE}"
        )
    return height, width
