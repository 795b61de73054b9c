"""Compute the next items while the present one is used."""

import threading
from collections.abc import Generator, Iterable
from contextlib import ExitStack, suppress
from queue import Full, Queue
from typing import TypeVar

T = TypeVar("T")

LOOK = 0.05  # seconds between two looks at whether anybody still waits


def ahead(items: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """The items, in order, computed by a background thread; at most `depth` of them wait.

    What computing an item raises is raised here, after the items before it. The thread ends with
    the items, or when this generator is closed; then it also closes `items`, if that can be closed.
    """
    waiting: Queue[tuple[T] | BaseException | None] = Queue(depth)
    stopped = threading.Event()

    def offer(entry: tuple[T] | BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(Full):
                return waiting.put(entry, timeout=LOOK)

    def work() -> None:
        end: BaseException | None = None
        try:
            with ExitStack() as at_end:
                at_end.callback(getattr(items, "close", bool))
                for item in items:
                    offer((item,))
                    del item  # or it would be held while the next one is computed
                    if stopped.is_set():
                        break
        except BaseException as error:
            end = error
        offer(end)

    thread = threading.Thread(target=work, name="spf-ahead", daemon=True)
    thread.start()
    try:
        while True:
            entry = waiting.get()
            if entry is None:
                return
            if isinstance(entry, BaseException):
                raise entry
            yield entry[0]
            del entry
    finally:
        stopped.set()
        thread.join()
