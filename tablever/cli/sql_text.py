"""What can be told of SQL by its text alone."""

from __future__ import annotations

from collections.abc import Sequence

from tablever import engine, statements

_DUCKDB_COUNTS = (["Count"], ["Success"])
_GIVE_NOTHING = frozenset(
    "ALTER ANALYZE ATTACH BEGIN CHECKPOINT COMMENT COMMIT COPY CREATE DELETE DETACH DROP EXPORT IMPORT INSERT INSTALL "
    "LOAD MERGE PREPARE DEALLOCATE RESET ROLLBACK SET START TRUNCATE UPDATE USE VACUUM".split()
)


def gives_rows(text: str, columns: Sequence[str]) -> bool:
    """Whether the last statement has rows to show; DuckDB gives a column ``Count`` or ``Success`` where it has none."""
    if not columns:
        return False
    return list(columns) not in _DUCKDB_COUNTS or _last_verb(text) not in _GIVE_NOTHING


def _last_verb(text: str) -> str:
    data = text.encode(errors="surrogatepass")
    verb, begins = "", True
    for token in statements.cut(data, engine.token_starts(data)):
        if token.text == ";":
            begins = True
        elif begins:
            verb, begins = token.text.upper(), False
    return verb
