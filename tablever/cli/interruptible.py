"""Ctrl-C while DuckDB works: its calls keep Python's signals waiting, so they run beside the thread that gets them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from typing import Protocol

_PAUSE = 0.05  # seconds between two looks whether the work has ended


class Interruptible(Protocol):
    """What stops its work in another thread when it is told to."""

    def interrupt(self) -> None:
        """Stop the statement that runs; no effect where none does."""


def run_interruptibly(session: Interruptible, work: Callable[[], None]) -> None:
    """Do the work in a thread of its own and wait for it; what it raises is raised here.

    Ctrl-C interrupts the session until the work has ended, and is raised then: a second one is raised at once.

    Raises:
        KeyboardInterrupt: the work was interrupted.
    """
    failures: list[BaseException] = []
    ended = Event()  # a join that Ctrl-C breaks off takes the thread for dead in Python 3.11

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised in the thread that waits
            failures.append(error)
        finally:
            ended.set()

    Thread(target=run, daemon=True).start()
    try:
        while not ended.wait(_PAUSE):
            pass
    except KeyboardInterrupt:
        while not ended.wait(_PAUSE):
            session.interrupt()
        raise
    if failures:
        raise failures[0]
