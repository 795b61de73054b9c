"""The optional parts of an installation: what each extra of the distribution adds."""

from importlib.util import find_spec

from spf.errors import UnavailableError

EXTRAS = {
    "towers": ("huggingface_hub", "open_clip", "transformers"),
    "generators": ("accelerate", "diffusers", "ftfy", "huggingface_hub", "transformers"),
    "corpus": ("pyarrow", "ray"),
    "harness": (
        "hydra", "jinja2", "pandas", "pyarrow", "skimage", "threadpoolctl", "torchvision", "wandb",
    ),
    "cluster": ("submitit",),
}  # fmt: skip
"""Extra -> modules that it installs; pyproject.toml names their distributions."""


def install_command(extra: str) -> str:
    """What installs an extra beside the distribution that is there."""
    return f"pip install 'semantic-progress[{extra}]'"


def missing_extra(extra: str) -> str:
    """The extra and the command that installs it, if one of its modules is absent, else "".

    Nothing is imported.
    """
    if all(find_spec(module) for module in EXTRAS[extra]):
        return ""
    return f"needs the extra {extra}: {install_command(extra)}"


def require_extra(what: str, extra: str) -> None:
    """Raise UnavailableError if an extra that `what` needs is not installed."""
    if missing := missing_extra(extra):
        raise UnavailableError(f"{what} {missing}")
