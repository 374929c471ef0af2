"""What statements may do besides reading: which kinds run at all, and which file a COPY may write.

DuckDB itself keeps a session to its folders (``engine.confine``), but it does not tell reading from writing, nor a
table's folder from another. That is told here, of every statement, before it runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tablever.catalog import table_above
from tablever.errors import QueryError
from tablever.expressions import Tree, other_nodes
from tablever.fences import lies_in
from tablever.statements import Token, closing, explained, inner_words, inner_writers, path_at

# What only touches the session's own database, which is in memory. Settings are locked by DuckDB.
_FREE = frozenset(
    "SELECT INSERT UPDATE DELETE MERGE_INTO CREATE CREATE_FUNC DROP ALTER TRANSACTION EXECUTE SET VARIABLE_SET CALL "
    "DETACH VACUUM ANALYZE RELATION MULTI COPY_DATABASE".split()
)
_WRAPPED = frozenset("SELECT FROM WITH VALUES TABLE SHOW DESCRIBE DESC SUMMARIZE PIVOT UNPIVOT ( INSERT UPDATE".split())
_WORDS = {"LOAD": "INSTALL and LOAD", "EXPORT": "EXPORT DATABASE", "EXTENSION": "an extension's statement"}
_MANY_FILES = frozenset(
    "partition_by per_thread_output file_size_bytes row_groups_per_file filename_pattern overwrite overwrite_or_ignore "
    "append write_empty_file file_extension".split()
)
# Pragmas that only show; the others change settings, which are locked, or run the statements of a file.
_SHOWING = frozenset(
    "collations database_list database_size functions metadata_info platform show show_databases show_tables "
    "show_tables_expanded storage_info table_info user_agent version".split()
)
# DuckDB takes an expression for what is attached: no more than this one text may stand there.
_MEMORY = re.compile(r"ATTACH( OR REPLACE| IF NOT EXISTS)?( DATABASE)? ':memory:'( AS | \( | ;|$)")
_SECRET = re.compile(r"(CREATE|DROP)( OR REPLACE)?( PERSISTENT| TEMP| TEMPORARY)? SECRET( |$)")
# These run the SQL that a text holds, which no token and no tree shows.
_RUNS_TEXT = frozenset({"json_execute_serialized_sql", "query"})
_NAMES_TABLE = frozenset({"TABLE", "INTO", "EXISTS"})  # what follows is a table's name, and its columns
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def check_statement(kind: str, tokens: Sequence[Token], folders: Sequence[str]) -> None:
    """Refuse a statement that could write outside the session's own database, or bring in code.

    Args:
        kind: DuckDB's name of the statement's type.
        tokens: its text.
        folders: the real paths of folders that the user allows: into files there, a COPY may write.

    Raises:
        QueryError: it could.
    """
    text = _spoken(tokens)
    if _SECRET.match(_spoken(explained(tokens))):
        raise _refused("a statement about secrets", "a session reaches no network: it needs none")
    for at in inner_writers(tokens):
        raise _refused_inside(tokens[at].word)
    _refuse_texts(tokens)
    if kind in ("EXPLAIN", "PREPARE"):
        inner = inner_words(tokens)
        if inner is not None and inner not in _WRAPPED and not (kind == "EXPLAIN" and inner in ("CREATE", "DELETE")):
            raise _refused(f"{kind} of a statement that begins with {inner}")
    elif kind == "ATTACH":
        if not _MEMORY.match(text):
            raise _refused("ATTACH of a file", "a session holds what it makes in memory: ATTACH ':memory:' AS other")
    elif kind == "PRAGMA":
        pragma = tokens[1].name.lower() if len(tokens) > 1 else ""
        copies = text.startswith("COPY FROM DATABASE ")  # DuckDB counts it among them
        if pragma not in _SHOWING and not copies:
            raise _refused(f"PRAGMA {pragma}")
    elif kind == "COPY":
        _check_copy(tokens, folders)
    elif kind not in _FREE:
        raise _refused(_WORDS.get(kind, kind.replace("_", " ")))


def check_query(tree: Tree) -> None:
    """Refuse a query that holds anything but queries: WITH takes statements that write, and COPY is one.

    Raises:
        QueryError: it does.
    """
    for kind in other_nodes(tree):
        raise _refused_inside(kind.removesuffix("_NODE").removesuffix("_QUERY"))


def _refuse_texts(tokens: Sequence[Token]) -> None:
    for i in range(1, len(tokens) - 1):
        name = tokens[i].name.lower()
        if name in _RUNS_TEXT and tokens[i + 1].text == "(":
            start = i
            while start > 1 and tokens[start - 1].text == ".":
                start -= 2
            if tokens[start - 1].word not in _NAMES_TABLE:
                raise _refused(f"{name}(), which runs the SQL in a text,", "write that SQL itself")


def _refused_inside(verb: str) -> QueryError:
    return _refused(f"{verb} inside another statement", f"write the {verb} as a statement of its own")


def _spoken(tokens: Sequence[Token]) -> str:
    return " ".join(token.word or token.text for token in tokens)


def _refused(
    what: str, hint: str = "SQL here reads, and writes with COPY (…) TO in allowed folders only"
) -> QueryError:
    return QueryError(f"{what} is not allowed", hint=hint)


def _check_copy(tokens: Sequence[Token], folders: Sequence[str]) -> None:
    if tokens[0].word != "COPY" or len(tokens) < 2:
        raise _refused("this COPY")
    # A name behind a dot may be a keyword: only the token behind the whole name, or query, says which way it goes.
    after = closing(tokens, 1) + 1 if tokens[1].text == "(" else path_at(tokens, 1)[1]
    if tokens[1].text != "(" and after < len(tokens) and tokens[after].text == "(":
        after = closing(tokens, after) + 1
    way = tokens[after].word if after < len(tokens) else ""
    if way == "FROM":  # into a table of the session: DuckDB says from where
        return
    if way != "TO":
        raise _refused("COPY of anything but a table or a query in parentheses")
    rest = [token for token in tokens[after + 1 :] if token.text != ";"]
    if not rest or rest[0].kind != "string_const" or rest[0].text[0] != "'":
        raise _refused("COPY TO anything but a file's name between single quotes")
    options = rest[2:] if rest[1:2] and rest[1].word == "WITH" else rest[1:]
    if options and (options[0].text != "(" or closing(options, 0) != len(options) - 1):
        raise _refused("COPY TO with anything but options in parentheses behind the file's name")
    many = [token.name for token in options if token.name.lower() in _MANY_FILES]
    if many:
        raise _refused(f"COPY TO with {many[0]}", "a COPY writes one file here, whose name it gives")
    check_target(rest[0].name, folders)


def check_target(target: str, folders: Sequence[str]) -> None:
    """Refuse a file that a COPY may not write: outside the allowed folders, or in a versioned table.

    Raises:
        QueryError: it may not.
    """
    if _SCHEME.match(target) or target.startswith("~") or "\0" in target or not target:
        raise _refused(f"COPY to '{target}'", "give the path of a file on this machine, without a scheme")
    real = os.path.realpath(target)
    table = table_above(Path(real)) or table_above(Path(target).absolute())
    if table is not None or "_delta_log" in Path(real).parts:
        where = f"the versioned table '{table}'" if table is not None else "a log"
        raise QueryError(f"COPY cannot write '{target}': it lies in {where}", hint="write to another folder")
    if Path(real).is_dir():
        raise _refused(f"COPY to '{target}', which is a folder,", "give a file's name")
    if not lies_in(real, folders):
        folder = os.path.dirname(real)  # noqa: PTH120 - beside realpath
        raise QueryError(
            f"COPY cannot write '{target}': it lies in no folder that is allowed",
            hint=f"allow it: query(…, allow_folders=['{folder}'])",
        )
