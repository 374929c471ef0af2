"""How far a long load is: a bar on standard error, only where a terminal watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
WORTH_SHOWING = 4_000_000  # bytes; less is read before an eye finds the bar


def ignore(_amount: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def loading(total: int) -> Iterator[Advance]:
    """A function to call with each number of bytes read, until ``total``; the bar goes when the load is done."""
    if total < WORTH_SHOWING or not sys.stderr.isatty():
        yield ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("reading"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda amount: bar.advance(task, amount)
