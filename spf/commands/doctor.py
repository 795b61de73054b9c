"""`spf doctor`: what this machine has."""

from typing import Annotated

from spf.commands import options


def doctor(
    gpus: Annotated[
        bool,
        options.flag("--gpus", "Show instead which generator fits on which GPU, and its settings."),
    ] = False,
) -> int:
    """Show what this machine has, and what each name would need.

    \b
    Examples:
      spf doctor
      spf doctor --gpus
    """
    if gpus:
        from spf.generators.catalogue import CAPTION, defaults_table, memory_table

        print(*memory_table(), "", *defaults_table(), "", *CAPTION, sep="\n")
        return 0
    from spf.doctor import report

    for line in report():
        print(line, flush=True)
    return 0
