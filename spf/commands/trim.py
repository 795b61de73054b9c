"""`spf trim`: a clip without its dead beginning and end."""

from typing import TYPE_CHECKING, Annotated

import typer

from spf.commands.options import Clip, EmbedderName, NoCache, Stream, Weights, local_path
from spf.commands.retime import output_file
from spf.commands.shared import check_writable, embedder_of, plain, print_embedder

if TYPE_CHECKING:
    from spf.curation.trim import Trim


def trim(
    clip: Clip,
    margin: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How much of each dead end stays.")
    ] = 0.0,
    copy: Annotated[
        bool,
        typer.Option(
            "--copy",
            help="Copy the pictures as they are even where no keyframe lies at the cuts; some "
            "frames of the dead ends stay then.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be cut, write nothing.")
    ] = False,
    out: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Folder, or name of the MP4 (default: CLIP.trimmed.mp4, here).",
            callback=local_path,
        ),
    ] = ".",
    embedder: EmbedderName = None,
    weights: Weights = None,
    stream: Stream = None,
    no_cache: NoCache = False,
) -> int:
    """Cut the dead beginning and end off a clip, its sound with them.

    The dead ends are the named dead stretches that `spf analyze` shows. Pictures are copied where
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

        def count(image: object, time: float) -> None:
            bar.update()

        measured = measure_clip(
            clip,
            measuring,
            sampling=Sampling(stream=stream),
            on_progress=count,
            cache=cache,
            guarded=True,
        )
        plan = plan_trim(measured, margin, copy)
    print_embedder(measuring)
    print(f"\n{plain(clip)}: {len(measured.curve)} frames")
    if plan is None:
        wide = margin > 0 and plan_trim(measured) is not None
        none = "it neither begins nor ends with a dead stretch"
        print(f"  nothing to trim: {'its dead ends lie within the margin' if wide else none}")
        return 0
    for line in _lines(plan):
        print(f"  {plain(line)}")
    if dry_run:
        return 0
    check_writable(result.parent)
    with tqdm(total=plan.last + 1 - plan.first, unit="frames", leave=False, disable=None) as bar:
        notes = carry_out(plan, result, bar.update)
    for note in notes:
        print(f"  note: {plain(note)}")
    print(f"  result     {plain(result)}")
    return 0


def _lines(plan: "Trim") -> list[str]:
    ends = zip(("beginning", "end"), plan.dead, strict=True)
    lines = [
        f"{end:<10} dead from {part.start_time:.2f} to {part.stop_time:.2f} s"
        for end, part in ends
        if part is not None
    ]
    kept = f"{plan.first} to {plan.last} of {len(plan.times)}"
    lines.append(f"keeps      frames {kept}, {plan.start:.2f} to {plan.stop:.2f} s")
    return [*lines, f"pictures   {plan.how}", *(f"note: {note}" for note in plan.notes)]
