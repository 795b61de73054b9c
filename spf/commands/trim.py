"""`spf trim`: a clip without its dead beginning and end."""

from typing import Annotated

from spf.commands import options
from spf.commands.retime import output_file
from spf.commands.shared import check_writable, embedder_of, print_embedder
from spf.names import plain


def trim(
    clip: options.Clip,
    margin: Annotated[
        float, options.option("SECONDS", "How much of each dead end stays.", min=0)
    ] = 0.0,
    copy: Annotated[
        bool,
        options.flag(
            "--copy",
            "Copy the frames as they are even where no keyframe lies at the cuts; some "
            "frames of the dead ends stay then.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, options.flag("--dry-run", "Print what would be cut, write nothing.")
    ] = False,
    out: Annotated[
        str,
        options.output_path(
            "PATH", "Folder, or name of the MP4 (default: CLIP.trimmed.mp4, here)."
        ),
    ] = ".",
    embedder: options.EmbedderName = None,
    weights: options.Weights = None,
    stream: options.Stream = None,
    no_cache: options.NoCache = False,
) -> int:
    """Cut the dead beginning and end off a clip, its sound with them.

    The dead ends are the named dead stretches that `spf analyze` shows. Frames are copied where
    the cuts lie at keyframes, and else encoded again; sound is copied. The clip stays as it is.

    \b
    Examples:
      spf trim clip.mp4 --dry-run
      spf trim clip.mp4 --margin 0.2 --out trimmed.mp4
    """
    from tqdm import tqdm

    from spf.cache import user_cache
    from spf.curation.trim import carry_out, plan_trim
    from spf.measurement import measure_clip
    from spf.pacing.retime import check_out
    from spf.video import Sampling

    result = check_out(clip, output_file(clip, out, "trimmed", ".mp4"))
    measuring = embedder_of(embedder, weights)
    cache = None if no_cache else user_cache()
    with tqdm(unit="frames", leave=False, disable=None) as bar:
        measured = measure_clip(
            clip, measuring, sampling=Sampling(stream=stream), cache=cache, guarded=True,
            on_frame=lambda *_: bar.update(),
        )  # fmt: skip
        plan = plan_trim(measured, margin, copy)
    print_embedder(measuring)
    print(f"\n{plain(clip)}: {len(measured.curve)} frames")
    if plan is None:
        wide = margin > 0 and plan_trim(measured) is not None
        none = "it neither begins nor ends with a dead stretch"
        print(f"  nothing to trim: {'its dead ends lie within the margin' if wide else none}")
        return 0
    for end, part in zip(("beginning", "end"), plan.dead, strict=True):
        if part is not None:
            print(f"  {end:<10} dead from {part.start_time:.2f} to {part.stop_time:.2f} s")
    frames = f"{plan.first} to {plan.last} of {len(plan.times)}"
    print(f"  keeps      frames {frames}, {plan.start:.2f} to {plan.stop:.2f} s")
    print(f"  pictures   {plan.how}")
    for note in plan.notes:
        print(f"  note: {plain(note)}")
    if dry_run:
        return 0
    check_writable(result.parent)
    with tqdm(total=plan.last + 1 - plan.first, unit="frames", leave=False, disable=None) as bar:
        notes = carry_out(plan, result, bar.update)
    for note in notes:
        print(f"  note: {plain(note)}")
    print(f"  result     {plain(result)}")
    return 0
