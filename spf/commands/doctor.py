"""`spf doctor`: what this machine has."""


def doctor() -> int:
    """Show what this machine has, and what each name would need.

    \b
    Example:
      spf doctor
    """
    from spf.doctor import report

    for line in report():
        print(line, flush=True)
    return 0
