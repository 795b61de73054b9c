"""Clip -> Curve: read, embed and fit in one pass."""

import os
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spf.cache import Cache, Embedded, Slot, key_fields, user_cache
from spf.devices import check_device
from spf.embedders import DEFAULT_EMBEDDER, Embedder, Embeddings, embed_clip, load_embedder
from spf.embedders.base import OnFrame, Source
from spf.embedders.views import views_of
from spf.errors import ClipError
from spf.progress import Curve, Segment, Settings, fit, score, segment, unranked_reason
from spf.progress.cuts import CUT_ANGLE
from spf.progress.noise import FLICKER_SHARE
from spf.progress.nuisance import Corrected, correct
from spf.progress.stretches import Stretch, named_stretches
from spf.thumbnails import Thumbnails
from spf.video import GuardedReader, Reader, Sampling
from spf.video.pixels import BarsEndError, repeated

CORRECTED = ("linearity_mae_corrected", "motion_share")
"""Columns beside linearity_mae, which stays the plain curve's, where a nuisance is named."""

DEFAULT_SETTINGS = Settings()
DRAWN_PENALTY = 2e-6
"""What one more piece must save of the mean squared residual: bends of about 0.15% of the change.
Finer than the paper's 0.02 on the sum (2.5e-4 at 81 frames), and the same at every frame rate."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What measuring a clip gives: curve, embeddings, thumbnails, seconds by stage, whether the
    embeddings came from the cache, and the curve without a nuisance where one was named."""

    curve: Curve
    embeddings: Embeddings
    thumbnails: Thumbnails
    seconds: dict[str, float]
    cached: bool = False
    corrected: Corrected | None = None

    @cached_property
    def segments(self) -> list[Segment]:
        """The curve as straight pieces, as plots draw them; none where nothing changes."""
        if not self.curve.changes:
            return []
        return segment(self.curve, penalty=DRAWN_PENALTY, scale="mean")

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """Which frames (T,) repeat the one before, as where 24 frames a second are shown at 60."""
        return repeated(self.embeddings.changes)

    @cached_property
    def distinct(self) -> Curve:
        """The curve of the frames that repeat none, each at the middle of the time for which it is
        shown: 24 frames a second shown at 60, for 2 and 3 frames in turn, are even again."""
        if not self.repeats.any():
            return self.curve
        shown = np.append(self.curve.times[~self.repeats], self.curve.times[-1])
        middles = (shown[:-1] + shown[1:]) / 2
        curve = fit(self.embeddings.vectors[~self.repeats], middles, **vars(self.curve.settings))
        return curve.of_clip(self.curve)

    @property
    def distinct_scores(self) -> dict[str, float]:
        """Share of repeated frames, and stall_fraction of the others; nothing without repeats."""
        if not self.repeats.any():
            return {}
        stalls = score(self.distinct)["stall_fraction"]
        return {"repeated_frames": self.repeats.mean(), "stall_fraction_distinct": stalls}

    @property
    def row(self) -> dict[str, Any]:
        """The columns that every table of clips has: why the clip is not ranked ("" where it is),
        frames, fps and duration (seconds; None where no rate is known), width and height (pixels),
        notes, whether it flickers, repeated frames, and the metrics of `score`, NaN where they are
        not defined; where a nuisance was named, `CORRECTED` too."""
        curve, info = self.curve, self.embeddings.info
        height, width = (info.height, info.width) if info else self.thumbnails.source_size
        timed = self.embeddings.unit == "s"  # a folder of images has no rate
        duration = float(curve.times[-1] - curve.times[0]) if timed else None
        return {
            "reason": unranked_reason(curve) or "",
            "frames": len(curve),
            "fps": info.fps if info else (len(curve) - 1) / duration if duration else None,
            "duration": duration,
            "width": width,
            "height": height,
            "notes": "; ".join(self.embeddings.notes),
            "flickers": curve.flickers,
            **self.distinct_scores,
            **score(curve),
            **self.corrected_scores,
        }

    @property
    def corrected_scores(self) -> dict[str, float]:
        """The columns `CORRECTED`; nothing where no nuisance was named."""
        if self.corrected is None:
            return {}
        linearity = score(self.corrected.curve)["linearity_mae"]
        return dict(zip(CORRECTED, (linearity, self.corrected.motion_share), strict=True))

    @cached_property
    def named_stretches(self) -> list[Stretch]:
        """The dead stretches and jumps that a person can see, in order of time; frames
        are counted among all of the clip's."""
        if not self.curve.changes:
            return []
        frames, times = np.flatnonzero(~self.repeats), self.curve.times
        found = []
        for part in named_stretches(self.distinct):
            ends = int(frames[part.start]), int(frames[part.stop])
            begin, end = times[[*ends]].tolist()
            found.append(
                replace(part, start=ends[0], stop=ends[1], start_time=begin, stop_time=end)
            )
        return found


def measure_clip(
    source: Source,
    embedder: Embedder,
    settings: Settings = DEFAULT_SETTINGS,
    sampling: Sampling | None = None,
    batch_size: int | None = None,
    on_frame: OnFrame | None = None,
    cache: Cache | None = None,
    guarded: bool = False,
    nuisance: str = "none",
    thumbnails: bool = True,
) -> Measurement:
    """Embed a clip (see `embed_clip`) and fit its curve.

    cache : where embeddings of files are stored; a clip that is found there is not decoded, and
    `on_frame` is not called. guarded : whether files are decoded in a process of their own, which
    may crash or hang (`GuardedReader`). nuisance : none, camera, light or camera+light: what is
    taken out in a second curve, `Measurement.corrected` (docs/concepts/nuisance.md). thumbnails :
    whether they are made, for plots; without them the cache is left alone.

    Raises ConfigError for an unknown nuisance, ClipError where the clip cannot be read or has fewer
    than 2 frames.
    """
    started = perf_counter()
    sampling, reader = sampling or Sampling(), GuardedReader if guarded else Reader
    stored = cache if thumbnails else None
    (embeddings, images), cached = _embed(
        source, embedder, sampling, batch_size, stored, nuisance, on_frame, reader, thumbnails
    )
    embedded = perf_counter()
    if len(embeddings.vectors) < 2:
        name = embeddings.info.path if embeddings.info else "frames"
        raise ClipError(name, "it has 1 frame", "a change needs at least 2: give a longer clip")
    curve = replace(
        fit(embeddings.vectors, embeddings.times, **vars(settings)),
        is_still=embeddings.is_still,
        flicker_share=getattr(embedder, "flicker_share", FLICKER_SHARE),
        cut_angle=getattr(embedder, "cut_angle", CUT_ANGLE),
    )
    corrected = None
    if nuisance != "none":
        corrected = correct(curve, embeddings.vectors, embeddings.differences)
    seconds = {"embed": embedded - started, "fit": perf_counter() - embedded}
    return Measurement(curve, embeddings, images, seconds, cached, corrected)


def _embed(
    source: Source,
    embedder: Embedder,
    sampling: Sampling,
    batch_size: int | None,
    cache: Cache | None,
    nuisance: str = "none",
    on_frame: OnFrame | None = None,
    reader: type[Reader | GuardedReader] = Reader,
    thumbnails: bool = True,
) -> tuple[Embedded, bool]:
    """Embeddings and thumbnails of a clip, and whether they came from the cache."""
    place: AbstractContextManager[Slot] = nullcontext(Slot())
    is_file = isinstance(source, str | os.PathLike)
    if cache is not None and isinstance(source, str | os.PathLike):
        path = Path(source)
        fields = key_fields(path, embedder, sampling, batch_size, nuisance)
        place = place if fields is None else cache.slot(path, fields)
    with place as slot:
        if slot.found is not None:
            return slot.found, True
        for crop_bars in (True, False) if is_file and sampling.crop_bars else (False,):
            images = Thumbnails()

            def add(image: NDArray[np.uint8], time: float, small: Thumbnails = images) -> None:
                if thumbnails:
                    small.add(image)
                if on_frame is not None:
                    on_frame(image, time)

            settings = batch_size, sampling, add, reader, crop_bars, nuisance
            with suppress(BarsEndError):  # they were none: from the start, without cropping
                slot.made = embed_clip(source, embedder, *settings), images
                break
        assert slot.made is not None  # without cropping no bars end
        return slot.made, False


def embed(
    source: Source,
    embedder: str | Embedder = DEFAULT_EMBEDDER,
    device: str = "auto",
    batch_size: int | None = None,
    cache: bool = True,
) -> NDArray[np.float32]:
    """Embed the frames of a clip: (T, D) float32, rows of unit length.

    source : path of a clip, or frames (T, H, W, 3) uint8 RGB.
    embedder : a name of `spf.EMBEDDERS`, with a variant such as "siglip/b16-384", or an object
        like them (`spf.embedders.load_embedder` makes one with settings). The default is a small
        network that was trained on ImageNet: no substitute for SigLIP.
    device : "auto", "cpu", "cuda" or "cuda:N"; the controls always run on the CPU.
    batch_size : frames per batch; None takes the embedder's own.
    cache : whether the embeddings of files are stored and found again (`spf.cache` says where).

    Raises ClipError for what cannot be read, ConfigError for an unknown embedder.
    """
    chosen = load_embedder(embedder, check_device(device))
    stored = user_cache() if cache else None
    (embeddings, _), _ = _embed(source, chosen, Sampling(), batch_size, stored)
    return embeddings.vectors


def measure(
    source: Source,
    embedder: str | Embedder = DEFAULT_EMBEDDER,
    sampling: Sampling | None = None,
    cache: bool = True,
    nuisance: str = "none",
    **settings: Any,
) -> Curve:
    """Embed a clip and fit its Semantic Progress Function, at the clip's own time stamps.

    `settings` are those of `spf.fit`, `cache` is that of `embed`. nuisance : "camera", "light" or
    "camera+light" give the curve without what a slightly other camera or light does to this clip
    (docs/concepts/nuisance.md); "none", the paper's, the plain one. Raises ConfigError for another
    one, ClipError where the clip cannot be measured.
    """
    views_of(nuisance)  # an unknown one is refused before any work
    measured = measure_clip(
        source,
        load_embedder(embedder),
        Settings(**settings),
        sampling,
        cache=user_cache() if cache else None,
        nuisance=nuisance,
    )
    return measured.curve if measured.corrected is None else measured.corrected.curve
