"""The arguments and options that several commands take, each with its type, range and help."""

import os
from collections.abc import Iterable
from typing import Annotated

import typer

from spf.commands.shared import plain
from spf.errors import ConfigError
from spf.names import NO_NETWORK, is_url


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
Clip = Annotated[str, typer.Argument(metavar="CLIP", help="Video, GIF or folder of images.")]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        metavar="NAME[/VARIANT]",
        help="What measures: efficientnet (default), tiny, siglip, clip, dinov2, pixels or "
        "histogram; with a variant siglip/b16-384.",
        autocompletion=embedder_names,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder with the embedder's weights, as Hugging Face or open_clip lays them out "
        "(default: those that are installed or fetched).",
        callback=weights_folder,
    ),
]
Nuisance = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What a second curve leaves out: camera, light or camera+light; none makes no second "
        "curve (default).",
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither use nor keep embeddings.")]
Out = Annotated[
    str, typer.Option(metavar="FOLDER", help="Folder for the output.", callback=local_path)
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print rows as one JSON document to stdout, all else to stderr."),
]
JsonLines = Annotated[
    bool, typer.Option("--jsonl", help="The same, a JSON object a line, as they are measured.")
]
Csv = Annotated[bool, typer.Option("--csv", help="The same, as CSV.")]
Stride = Annotated[int, typer.Option(metavar="N", min=1, help="Use every N-th frame.")]
MaxFrames = Annotated[int | None, typer.Option(metavar="N", min=1, help="Use at most N frames.")]
Start = Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="From this time on.")]
End = Annotated[float | None, typer.Option(metavar="SECONDS", min=0, help="Up to this time.")]
Stream = Annotated[
    int | None, typer.Option(metavar="N", min=0, help="Index among the video streams.")
]
