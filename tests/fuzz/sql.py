"""A statement: tokens, references, calls, what it writes, whether it may run. It is not run.

The rewritten text is DuckDB's to refuse; ours must not fail, and must not let a COPY through.
"""

from __future__ import annotations

from contextlib import suppress

from tablever import engine, expressions, permits, statements
from tablever.errors import TableverError

connection = engine.cursor()


def run(data: bytes) -> None:
    """One input."""
    text = data.decode("utf-8", "replace")
    with suppress(TableverError), engine.query_errors("it"):
        raw = statements.plain_spaces(text).encode()
        ordered = statements.aliases_first(raw, statements.cut(raw, engine.token_starts(raw)), engine.name_words)
        for part in connection.extract_statements(ordered.decode(errors="replace")):
            _judge(part)


def _judge(part: object) -> None:
    data = str(getattr(part, "query", "")).encode()
    tokens = statements.cut(data, engine.token_starts(data))
    kind = getattr(getattr(part, "type", None), "name", "UNKNOWN")
    list(statements.written_tables(tokens))
    statements.changed_setting(tokens)
    statements.inner_query(tokens)
    statements.function_calls(tokens)
    statements.token_references(tokens)
    tree = engine.parse(connection, data.decode())
    if not tree.get("error"):
        for reference in statements.tree_references(tree, tokens):
            assert 0 <= reference.start <= reference.end <= len(data)
        expressions.only_selects(tree)
        expressions.lists_tables(tree)
    allowed = True
    try:
        permits.check_statement(kind, tokens, [])
    except TableverError:
        allowed = False
    # Where there is no tree the tokens alone decide: where there is one, it judges them.
    assert not (allowed and "COPY_QUERY_NODE" in expressions.other_nodes(tree))
    assert not (allowed and kind in ("LOAD", "EXPORT", "EXTENSION", "UNKNOWN"))
