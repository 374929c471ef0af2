"""How large everything is: the table, a change, and how often it happens. A figure is a function of a size."""

from __future__ import annotations

from dataclasses import dataclass, replace

ROWS = 5_000_000


@dataclass(frozen=True)
class Size:
    """The rows of a table's first version, and of what comes after it.

    Attributes:
        rows: of the first version.
        changed: of a small change.
        many: of a large one.
        merges: small upserts that a table has seen before it is written to.
        upserts: small upserts after which it is read, and whose growth is measured.
        versions: of the tables with few, many and most versions.
        appends: of ``changed`` rows each, that are timed one by one.
        history: commits of the tables that a row's history is asked of; they have ``history_rows``.
    """

    rows: int = ROWS
    changed: int = 1_000
    many: int = 100_000
    merges: int = 12
    upserts: int = 100
    versions: tuple[int, int, int] = (10, 1_000, 10_000)
    appends: int = 60
    history: int = 1_000
    history_rows: int = 100_000

    def with_rows(self, rows: int) -> Size:
        """The same changes of a table of so many rows; a large change is never more than a fifth of it."""
        return replace(self, rows=rows, many=min(self.many, rows // 5), history_rows=min(self.history_rows, rows))


FULL = Size()
# Does it run: no figure of this is worth a look.
QUICK = Size(20_000, 100, 1_000, 3, 12, (3, 6, 12), 4, 12, 2_000)
# What a measured process has done before, on a table of its own, so that its libraries are loaded.
WARM = Size(1_000, 10, 100, 2, 4, (2, 3, 4), 2, 4, 1_000)

EACH = 100  # rows of the appends that only make versions
