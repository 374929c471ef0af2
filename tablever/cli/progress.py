"""How far a long load or check is: a bar on standard error, only where a terminal watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Advance = Callable[[int], None]
WORTH_SHOWING = 4_000_000  # bytes; less is read before an eye finds the bar


def ignore(_amount: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Loading:
    """What a load tells of itself: the bytes that it read, and that it has read all and only writes from now on."""

    advance: Advance = ignore
    all_read: Callable[[], None] = lambda: None


@contextmanager
def loading(total: int) -> Iterator[Loading]:
    """Something to be told of each number of bytes read, until ``total``; the bar goes when the load is done."""
    if total < WORTH_SHOWING or not sys.stderr.isatty():
        yield Loading()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("reading", total=total)
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done = min(done + amount, total)
            bar.update(task, completed=done)

        yield Loading(advance, lambda: bar.update(task, description="writing", total=None))


@contextmanager
def checking() -> Iterator[Callable[[int, int], None] | None]:
    """Something to be told of bytes checked of how many, with the rate; None where no terminal watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("checking", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
