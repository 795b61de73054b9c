"""The arguments and options that several commands take, each with its type, range and help."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spf.commands.shared import clips_at
from spf.errors import ConfigError
from spf.names import NO_NETWORK, is_url, plain, shell_quoted


def weights_folder(text: str | None) -> str | None:
    """The absolute path of a folder of weights. Raises ConfigError for a URL and for nothing."""
    if text is None:
        return None
    if is_url(text):
        raise ConfigError(f"{plain(text)}: {'; '.join(NO_NETWORK)}")
    if not text:
        raise ConfigError("--weights names no folder; the current one is .")
    return os.path.abspath(os.path.expanduser(text))


def local_path(text: str | None) -> str | None:
    """The path of an output, with `~` expanded: after `--out=` a shell leaves it as it is. Raises
    ConfigError for a URL."""
    if text is None:
        return None
    if is_url(text):
        raise ConfigError(f"{plain(text)}: outputs are local files; give a path")
    return os.path.expanduser(text)


def nuisance_name(name: str) -> str:
    """A known name. Raises ConfigError for another, before any work."""
    from spf.embedders.views import views_of

    views_of(name)
    return name


def option(metavar: str, text: str, *names: str, **settings: Any) -> Any:
    """An option that takes a value."""
    return typer.Option(*names, metavar=metavar, help=text, **settings)


def output_path(metavar: str, text: str) -> Any:
    """An option that takes the path of an output."""
    return option(metavar, text, callback=local_path)


def count(text: str) -> Any:
    """An option that takes a number of at least 1."""
    return option("N", text, min=1)


def flag(name: str, text: str) -> Any:
    """An option that takes no value."""
    return typer.Option(name, help=text)


def one_clip(context: typer.Context, path: str) -> str:
    """The path of a clip. Raises ConfigError for a folder of clips: they are named one by one."""
    from spf.video import list_frames

    first = next(clips_at(path))
    if first == path or len(list_frames(Path(path))[0]) > 1:  # images beside a film are a clip too
        return path
    folder, suffix = os.path.dirname(first), os.path.splitext(first)[1]
    command, every = f"spf {context.info_name}", f"{shell_quoted(folder)}/*{suffix}"
    each = f'or each: for clip in {every}; do {command} "$clip"; done'
    raise ConfigError(
        f"{path}: this folder holds clips; name one: {command} {shell_quoted(first)}, {each}"
    )


def embedder_names(incomplete: str) -> Iterable[str]:
    """The names that begin with what is typed, for completion in the shell."""
    from spf.embedders import EMBEDDERS
    from spf.weights import EMBEDDER_PINS

    variants = (f"{name}/{variant}" for name, pins in EMBEDDER_PINS.items() for variant in pins)
    return [name for name in (*EMBEDDERS, *variants) if name.startswith(incomplete)]


Clips = Annotated[
    list[str],
    typer.Argument(
        metavar="CLIP",
        help="Videos, GIFs, folders of images, or folders of these: one that holds images and no "
        "videos is a clip, any other stands for the clips in it and in its folders.",
    ),
]
Clip = Annotated[
    str, typer.Argument(metavar="CLIP", help="Video, GIF or folder of images.", callback=one_clip)
]
EmbedderName = Annotated[
    str | None,
    option(
        "NAME[/VARIANT]",
        "What measures: efficientnet (default), tiny, siglip, clip, dinov2, pixels or "
        "histogram; with a variant siglip/b16-384.",
        "--embedder",
        autocompletion=embedder_names,
    ),
]
Weights = Annotated[
    str | None,
    option(
        "FOLDER",
        "Folder with the embedder's weights, as Hugging Face or open_clip lays them out "
        "(default: those that are installed or fetched).",
        callback=weights_folder,
    ),
]
Nuisance = Annotated[
    str,
    option(
        "NAME",
        "What a second curve leaves out: camera, light or camera+light; none makes no second "
        "curve (default).",
        callback=nuisance_name,
    ),
]
NoCache = Annotated[bool, flag("--no-cache", "Neither use nor cache embeddings.")]
Json = Annotated[
    bool, flag("--json", "Print rows as one JSON document to stdout, all else to stderr.")
]
JsonLines = Annotated[
    bool, flag("--jsonl", "The same, a JSON object a line, as they are measured.")
]
Csv = Annotated[bool, flag("--csv", "The same, as CSV.")]
Stride = Annotated[int, count("Use every N-th frame.")]
MaxFrames = Annotated[int | None, count("Use at most N frames.")]
Start = Annotated[float | None, option("SECONDS", "From this time on.", min=0)]
End = Annotated[float | None, option("SECONDS", "Up to this time.", min=0)]
Stream = Annotated[int | None, option("N", "Index among the video streams.", min=0)]
TargetName = Annotated[
    str | None,
    option(
        "NAME",
        "linear (default), ease_in, ease_out, ease_in_out, exponential, sine, custom; with "
        "settings: exponential:temperature=5, custom:path=points.csv.",
        "--target",
    ),
]
Like = Annotated[
    str | None,
    typer.Option(
        metavar="CLIP",
        help="Take the pacing of another clip.",
        callback=lambda path: path and os.path.expanduser(path),
    ),
]
Frames = Annotated[int | None, option("N", "Number of frames of the result.")]
Fps = Annotated[float | None, option("R", "Its frames a second.")]
Cuts = Annotated[
    str | None,
    option(
        "keep|bridge",
        "Hard cuts stay, and no frame lies between two shots (keep, the default), or are "
        "retimed like any other change (bridge).",
    ),
]
Keep = Annotated[
    Literal["length", "fastest"],
    typer.Option(
        help="Keep the clip's length, or make it longer so that no part passes faster than it did."
    ),
]
