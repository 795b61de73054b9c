"""The process that decodes for `spf.video.guarded`: requests on stdin, frames on stdout."""

from __future__ import annotations

import json
import os
import queue
import resource
import sys
import threading
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from spf.errors import ClipError, ConfigError, one_line
from spf.video.clip import AGAIN, Sampling, starved
from spf.video.reader import Reader


def serve(memory: int) -> None:
    """Decode what the lines on stdin ask for, until they end."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # a decoder writes no file
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the frames
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        request = json.loads(requests.get())
        os.chdir(request["folder"])
        _decode(request["path"], Sampling(**request["sampling"]), output)


def _listen(requests: queue.SimpleQueue[str]) -> None:
    """Pass requests on; at their end the parent is gone, and nobody waits for what is decoded."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _decode(path: str, sampling: Sampling, output: IO[bytes]) -> None:
    def send(data: bytes | memoryview = b"", **reply: Any) -> None:
        output.write(json.dumps(reply, default=str).encode() + b"\n")
        output.write(data)
        output.flush()

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
