"""The process that decodes for `spf.video.guarded`: requests on stdin, frames on stdout."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from spf.child import replies, requests
from spf.errors import ClipError, ConfigError, one_line
from spf.video.clip import AGAIN, Sampling, starved
from spf.video.reader import Reader


def serve(memory: int) -> None:
    """Decode what the lines on stdin ask for, until they end."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # a decoder writes no file
    send = replies()
    for request in requests():
        os.chdir(request["folder"])
        _decode(request["path"], Sampling(**request["sampling"]), send)


def _decode(path: str, sampling: Sampling, send: Callable[..., None]) -> None:
    """Send a clip; at the end its reader and last frame are freed, before the next clip."""
    try:
        with Reader(path, sampling) as reader:
            send(info=asdict(reader.info) | {"path": ""})
            for image, time in reader:
                data = np.ascontiguousarray(image).data
                send(data, frame=image.shape, time=time, decoded=reader.decoded)
            send(lost=reader.lost, notes=reader.notes, decoded=reader.decoded)
    except ConfigError as error:
        send(config_error=str(error))
    except ClipError as error:
        send(clip_error=error.args)
    except MemoryError:
        send(clip_error=starved(path).args)
    except Exception as error:  # of a library, on a file that it did not expect
        what = f"its decoder failed ({type(error).__name__}: {one_line(error, 100)})"
        send(clip_error=[path, what, AGAIN])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
