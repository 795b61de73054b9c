"""Download one file; nothing here is called unless a user asks for it."""

import shutil
from pathlib import Path

from spf.errors import UnavailableError, one_line

WAIT = 60  # seconds without a byte after which a server is given up


def download(url: str, part: Path, name: str, remedy: str, resume: bool = True) -> None:
    """Have what is at a URL in the file `part`, with a progress bar; missing folders are made.

    resume : go on after the bytes that `part` holds, which only somebody may ask for who checks the
    hash afterwards. Raises UnavailableError, which names the file and ends with `remedy`.
    """
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    from tqdm import tqdm

    try:
        have = part.stat().st_size if resume and part.is_file() else 0
        asked = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        with urlopen(asked, timeout=WAIT) as answer:
            goes_on = answer.status == 206
            length = int(answer.headers["Content-Length"] or 0)
            part.parent.mkdir(parents=True, exist_ok=True)
            with (
                open(part, "ab" if goes_on else "wb") as saved,
                tqdm.wrapattr(answer, "read", length, desc=name, disable=None) as counted,
            ):
                shutil.copyfileobj(counted, saved, 1 << 20)
        missing = length + have * goes_on - part.stat().st_size if length else 0
        if missing:
            raise ConnectionError(f"it ended {missing} bytes too early; run this again")
    except (OSError, ValueError, HTTPException) as error:
        if getattr(error, "code", None) == 416:  # there is no more than what is here
            return
        raise UnavailableError(
            f"{name}: cannot be fetched from {url} ({one_line(error)}); check the network and the "
            f"proxy variables, {remedy}"
        ) from None
