"""Which runs held a row in the versions that they used."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

from tablever.history.events import row_history
from tablever.log import TableLike, open_log
from tablever.model import Run
from tablever.runs import runs_of

_MORE = {"insert": 1, "update": 0, "delete": -1}


def runs_that_saw(table: TableLike, key: Any) -> list[Run]:
    """The runs that are linked to a version that held a row, whatever values it had there.

    Args:
        key: as ``row_history`` takes it.

    Returns:
        Runs by version, then by the time of their linking. A version that can no longer be read is taken to hold what
        the one before it held that can: link a run, so that a vacuum keeps what it used.

    Raises: as ``row_history`` and ``runs_of``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> _ = link_run(table, 0, "first")
        >>> v = delete(table, where="id = 2")
        >>> _ = link_run(table, 1, "second")
        >>> [run.run_id for run in runs_that_saw(table, 2)]
        ['first']
    """
    log = open_log(table)
    events = row_history(log, key)
    numbers = [event.version for event in events]
    rows = [0, *accumulate(_MORE[event.change] * event.rows for event in events)]
    return [run for run in runs_of(log) if rows[bisect_right(numbers, run.version)] > 0]
