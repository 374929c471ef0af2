"""What an expression may be, and what DuckDB says of one: judged on DuckDB's own parse trees; opens nothing."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tablever.errors import QueryError

Tree = Mapping[str, Any]

ROW_ALIAS = "__tv_row"
# Between parentheses and between brackets: text that closes one and opens another fits into at most one of the two.
WRAPPERS = (f"SELECT 1 FROM {ROW_ALIAS} WHERE ({{}}\n)", f"SELECT 1 FROM {ROW_ALIAS} WHERE [{{}}\n]")

_REFUSED_CLASSES = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "PARAMETER": "a parameter",
    "STAR": "a star",
    "POSITIONAL_REFERENCE": "a positional reference",
    "DEFAULT": "DEFAULT",
}
_REFUSED_FUNCTIONS = frozenset(
    {
        "getenv",
        "getvariable",
        "current_setting",
        "current_query",
        "nextval",
        "currval",
        "setval",
        "setseed",
        "sleep_ms",
        "pg_sleep",
        "write_log",
        "read_text",
        "read_blob",
        "query",
        "query_table",
        # These plan SQL that a text holds, and so open files, or show what other sessions keep.
        "json_serialize_plan",
        "json_execute_serialized_sql",
        "format_type",
        "get_block_size",
        "pg_get_constraintdef",
        "pg_get_viewdef",
    }
)
# The kinds of query that only read. DuckDB's grammar takes others in WITH, which write.
_READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"})
# Table functions whose only effect is their rows; others open files, switch things, or show what is in the database.
_HARMLESS_FUNCTIONS = frozenset(
    {
        "generate_series",
        "json_each",
        "json_tree",
        "range",
        "repeat",
        "table_cells",
        "table_changes",
        "table_diff",
        "table_history",
        "table_versions",
        "unnest",
    }
)


def loads(text: str) -> Tree:
    """A parse tree from the JSON that DuckDB gives. Raises QueryError where it is too deep to be walked."""
    try:
        tree: Tree = json.loads(text)
    except RecursionError as error:
        raise QueryError("the SQL is nested too deeply", hint="write it in several steps") from error
    return tree


def walk(tree: Any) -> Iterator[Tree]:
    """Every node of a tree that is an object, parents before children."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            yield node
            waiting.extend(reversed(list(node.values())))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def lists_tables(tree: Tree) -> bool:
    """Whether a query asks what tables there are."""
    for node in walk(tree):
        if node.get("type") == "SHOW_REF" and node.get("query") is None:
            return True
        path = [str(part).lower() for part in (node.get("qualified_name") or {}).get("path", ())]
        if path[:1] in (["information_schema"], ["pg_catalog"]) or path[-1:] in (["sqlite_master"], ["pg_tables"]):
            return True
        if str(node.get("function_name", "")).startswith("duckdb_"):
            return True
    return False


def other_nodes(tree: Tree) -> Iterator[str]:
    """The kinds of query in a tree that are not known to only read: COPY_QUERY_NODE, and what is to come."""
    for node in walk(tree):
        kind = str(node.get("type"))
        if ("cte_map" in node or kind.endswith("_NODE")) and kind not in _READING_NODES:
            yield kind


def only_selects(tree: Tree) -> bool:
    """Whether a parse is of SELECTs alone, whose functions do nothing but give rows and values, and open no file."""
    if tree.get("error") or any(other_nodes(tree)):
        return False
    if any(str(node.get("function_name", "")).lower() in _REFUSED_FUNCTIONS for node in walk(tree)):
        return False
    calls = (node.get("function") or {} for node in walk(tree) if node.get("type") == "TABLE_FUNCTION")
    return all(str(call.get("function_name")).lower() in _HARMLESS_FUNCTIONS for call in calls)


def only_expression(trees: Sequence[Tree], text: str, what: str) -> Tree:
    """The tree of an expression, from parses of it in each of WRAPPERS.

    Raises:
        QueryError: the text is not one expression and nothing more.
    """
    for tree in trees:
        if tree.get("error"):
            raise refused(f"{what} '{text}'", str(tree.get("error_message")))
    statement = trees[0]["statements"]
    node = statement[0]["node"]
    source = node.get("from_table") or {}
    alone = (
        len(statement) == 1
        and node.get("type") == "SELECT_NODE"
        and source.get("table_name") == ROW_ALIAS
        and not any(node.get(name) for name in ("modifiers", "group_expressions", "having", "qualify", "sample"))
    )
    condition = node.get("where_clause")
    if not alone or condition is None:
        raise QueryError(f"{what} '{text}' is not one expression", hint='give a condition alone, such as "stars > 3"')
    found: Tree = condition
    return found


def refuse_outside(tree: Tree, what: str) -> None:
    """Raise QueryError where an expression holds anything but constants, columns and functions of them."""
    for node in walk(tree):
        kind = _REFUSED_CLASSES.get(str(node.get("class")))
        name = str(node.get("function_name", "")).lower()
        if name in _REFUSED_FUNCTIONS:
            kind = f"the function {name}"
        if kind is not None:
            raise QueryError(
                f"{what} holds {kind}: only constants, columns and functions of one row can stand there",
                hint="compute it first and put the value in",
            )


def columns_of(tree: Tree, schema: pa.Schema) -> set[str]:
    """The columns of a table that an expression may read; letter case is ignored, as DuckDB does."""
    by_lower = {name.lower(): name for name in schema.names}
    found: set[str] = set()
    for node in walk(tree):
        if node.get("class") == "COLUMN_REF":
            found.update(by_lower[part.lower()] for part in node["column_names"] if part.lower() in by_lower)
    return found


def first_line(message: str) -> str:
    """A DuckDB message without its kind, the lines of SQL and the arrow below them."""
    line = message.strip().split("\n", 1)[0]
    return re.sub(r"^(?:[A-Z][A-Za-z-]*(?: [A-Za-z]+)* )?Error: ", "", line)


def refused(what: str, message: str, columns: Sequence[str] = ()) -> QueryError:
    """The error for SQL that DuckDB refuses: its words, and what to write instead where that can be told."""
    if "max_expression_depth" in message:  # DuckDB says to change that setting: nobody can, here
        return QueryError(f"{what} is nested too deeply", hint="write it in several steps")
    text = first_line(message)
    hint = None
    unknown = re.search(r'[Cc]olumn "([^"]+)" not found', text)
    if unknown:
        candidates = re.findall(r'"([^"]+)"', message.partition("Candidate bindings:")[2].partition("\n")[0])
        by_lower = {name.lower(): name for name in columns or candidates}
        close = difflib.get_close_matches(unknown[1].lower(), by_lower, 1)
        hint = f"the columns are {', '.join(columns)}" if columns else None
        hint = f"did you mean '{by_lower[close[0]]}'?" if close else hint
    elif suggestion := re.search(r'Did you mean "([^"]+)"', message):
        hint = f"did you mean '{suggestion[1]}'?"
    elif "explicit cast" in text or "explicit type cast" in text:
        hint = "compare values of one type: a text stands between single quotes, numbers and dates have casts"
    return QueryError(f"{what}: {text}", hint=hint)
