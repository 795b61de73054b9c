"""The errors that a user can fix, each one line: the thing, the reason, the remedy.

`exit_code` is what the commands return; wrong arguments to the mathematics are `ValueError`s.
"""


def one_line(error: object, longest: int | None = 200) -> str:
    """The text of an error on one line, cut to `longest` letters; its type where it has none."""
    return " ".join(str(error).split())[:longest] or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the machine or the GPU, was too small: by Python, or by torch's words."""
    text = str(error).lower()
    known = "out of memory", "not enough memory", "can't allocate memory"
    return isinstance(error, MemoryError) or any(part in text for part in known)


class SpfError(Exception):
    """Base class; its message is shown to the user as it is, without a traceback."""

    exit_code = 1


class ClipError(SpfError):
    """A clip that cannot be measured; it fails its own row and stops no other clip."""

    def __init__(self, clip: object, reason: str, remedy: str) -> None:
        super().__init__(clip, reason, remedy)  # so that it travels to other processes
        self.clip = str(clip)
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.clip}: {self.reason}; {self.remedy}"


class ConfigError(SpfError):
    """Wrong options or values in a configuration or on the command line."""

    exit_code = 2


class UnavailableError(SpfError):
    """Weights, hardware or packages that the named embedder or model needs are not here."""

    exit_code = 3
    plan = ""
    """Lines of what would be done where it can."""
