"""Write files so that a reader sees the old one or the new one, never half of one."""

import os
import secrets
from pathlib import Path


def write_atomic(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8) under a temporary name in the same folder, then rename it.

    Missing folders are made. Whatever is raised (OSError, KeyboardInterrupt), the old file stays
    as it was and no temporary file is left; after SIGKILL one with the suffix .tmp may be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
