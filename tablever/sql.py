"""SQL over versioned tables: every table below a root is a relation, ``t AT (VERSION => 3)`` reads a version of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pyarrow as pa

from tablever.catalog import Catalog
from tablever.log import TableLike
from tablever.session import Session, only_reads

__all__ = ["Session", "connect", "query"]


def query(
    sql: str,
    *,
    root: str | os.PathLike[str] = ".",
    tables: Mapping[str, TableLike] | None = None,
    storage_options: Mapping[str, str] | None = None,
    allow_folders: Sequence[str | os.PathLike[str]] = (),
) -> pa.Table:
    """Run SQL over versioned tables.

    Args:
        sql: DuckDB's SQL, one or several statements. Every table below ``root`` is a relation, nested ones as
            ``"a/b"`` or ``a.b``; ``t AT (VERSION => ref)`` and ``t AT (TIMESTAMP => …)`` read a version of it.
            ``table_versions('t')`` is the log, ``table_changes('t', a, b)`` the change rows of commits a to b,
            ``table_diff('t', a, b)`` what differs between two versions, ``table_cells('t', a, b)`` cell by cell,
            ``table_history('t')`` every lifetime of every row.
        root: the folder, or the URI of the prefix in an object store, that holds the tables.
        tables: tables by the names that the SQL gives them.
        storage_options: how to reach ``root`` where it is in an object store.
        allow_folders: folders whose files the SQL may read too (``read_csv('…')``), and write with ``COPY (…) TO``.
            Without any it reads files below ``root``, and writes none. No versioned table is ever written.

    Returns:
        What the last statement gives; no columns where it gives nothing.

    Raises:
        QueryError: DuckDB refuses the SQL, a name is no table, or the SQL would write a versioned table, reach for
            files that it may not use, load an extension, attach a file, or change a setting.
        TableNotFoundError: no folder at ``root``. VersionNotFoundError, RefError: no such version.
        VersionVacuumedError, UnsupportedFeatureError, CorruptionError, StorageError: a table cannot be read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> delete(table, where="id = 2").number
        1
        >>> query("SELECT count(*) AS n FROM reviews AT (VERSION => 0)", root=folder).to_pylist()
        [{'n': 2}]
    """
    catalog = Catalog(root, tables, storage_options, allow_folders)
    with Session(catalog, shared=only_reads(sql, catalog)) as session:
        return session.sql(sql).to_arrow_table()


def connect(
    root: str | os.PathLike[str] = ".",
    tables: Mapping[str, TableLike] | None = None,
    *,
    storage_options: Mapping[str, str] | None = None,
    allow_folders: Sequence[str | os.PathLike[str]] = (),
    settings: Mapping[str, str | int | float | bool] | None = None,
) -> Session:
    """A DuckDB session in which every table below ``root`` is a relation. Arguments and errors are those of ``query``.

    ``settings`` are DuckDB's, by name: ``{"threads": 4, "memory_limit": "2GB"}``; statements cannot change them.
    Views and tables that statements make live as long as the session. A view over a table follows the table's head;
    what AT and the table functions name is settled when the view is made. A prepared statement is prepared anew when it
    is executed, and so sees tables as they are then.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> with connect(folder) as session:
        ...     session.sql("FROM reviews SELECT max(stars)").fetchall()
        [(5,)]
    """
    return Session(Catalog(root, tables, storage_options, allow_folders), settings=settings)
