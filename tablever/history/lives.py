"""Every lifetime of every row."""

from __future__ import annotations

import pyarrow as pa

from tablever.columns import refuse_taken
from tablever.frames import to_arrow
from tablever.history import folds
from tablever.history.images import read_images
from tablever.history.reading import read_told
from tablever.history.steps import read_journal
from tablever.history.view import view_of
from tablever.log import TableLike, open_log


def lifetimes(table: TableLike) -> pa.Table:
    """Every lifetime of every row: which version brought it, and which ended it.

    Returns:
        The latest version's columns (null where a version lacked one), ``_added_version``, and ``_removed_version``,
        the first version without the row, null while it is there; by ``_added_version``. Of equal rows the oldest
        ends first. The rows of version v are those added at v or before, and removed after v or not at all.

    Raises:
        SchemaMismatchError: a column of the table, which another tool made, is called as one of these two.
        TableNotFoundError, VersionVacuumedError, UnsupportedFeatureError, CorruptionError: it cannot be read right.
    """
    log = open_log(table)
    head = log.head()
    view = view_of(head.metadata)
    refuse_taken(view.columns, (folds.ADDED, folds.REMOVED), f"table_history('{log.name}')")
    journal = read_journal(log, head.version, lambda _: None)
    images = read_told(log, journal, view, None, lambda steps: read_images(log, head, steps, view))
    ends = [pa.field(name, pa.int64()) for name in (folds.ADDED, folds.REMOVED)]
    return to_arrow(folds.lifetimes(images), pa.schema([*view.schema, *ends]))
