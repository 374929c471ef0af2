"""SQL text as tokens and references: where tables, versions and our table functions stand; opens nothing.

Offsets are in bytes of UTF-8, as DuckDB's tokenizer and parse trees have them. Where DuckDB gives a parse tree
(SELECT), the tree says what is a table; for the statements it gives none for, the tokens around ``AT (`` do.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tablever.errors import QueryError

Tree = Mapping[str, Any]

FUNCTIONS: Mapping[str, tuple[str, ...]] = {  # our table functions, and what they are asked with
    "table_versions": ("table",),
    "table_changes": ("table", "first", "last"),
    "table_diff": ("table", "a", "b"),
    "table_cells": ("table", "a", "b"),
    "table_history": ("table",),
}
_NOWHERE = 2**64 - 1
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_JOINS = frozenset({"INNER", "LEFT", "RIGHT", "OUTER", "FULL"})
_FILTERS = frozenset({"SEMI", "ANTI"})
_PLAIN_JOINS = frozenset({"REGULAR", "CROSS", "NATURAL"})
_QUERY_WORDS = frozenset({"SELECT", "FROM", "WITH", "VALUES", "TABLE"})
_TABLE_WORDS = frozenset({"TABLE", "DESCRIBE", "DESC", "SUMMARIZE", "SHOW"})
# What DuckDB's parser takes for a space, though its tokenizer does not: pages and word processors have them.
_SPACE = "[\u00a0\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]"
_QUOTED_OR_SPACE = re.compile(rf"""'[^']*'|"[^"]*"|\$(\w*)\$.*?\$\1\$|--[^\n]*|({_SPACE})""", re.DOTALL)
# What can stand in a CTE besides queries: each writes, and holds its second word in the parentheses that it begins.
_WRITERS = {"COPY": "TO", "INSERT": "INTO", "UPDATE": "SET", "DELETE": "FROM"}
_CREATE_WORDS = frozenset({"OR", "REPLACE", "TEMP", "TEMPORARY", "PERSISTENT", "RECURSIVE", "MATERIALIZED"})


@dataclass(frozen=True)
class Token:
    """A token, comments left out; ``kind`` is identifier, keyword, operator, string_const or numeric_const."""

    start: int
    end: int
    text: str
    kind: str

    @property
    def word(self) -> str:
        """The text in capitals, empty for strings, numbers and quoted names."""
        return self.text.upper() if self.kind in ("identifier", "keyword") and self.text[:1] != '"' else ""

    @property
    def is_name(self) -> bool:
        """Whether it can be a name that no keyword is."""
        return self.kind == "identifier"

    @property
    def name(self) -> str:
        """The name that the token stands for, its quotes taken off."""
        if self.text[:1] in ('"', "'") and len(self.text) > 1:
            return self.text[1:-1].replace(self.text[0] * 2, self.text[0])
        return self.text


def cut(data: bytes, starts: Sequence[tuple[int, str]]) -> list[Token]:
    """Tokens from the offsets and kinds that DuckDB's tokenizer gives."""
    ends = [start for start, _ in starts[1:]] + [len(data)] * bool(starts)
    return [
        Token(start, start + len(piece), piece.decode(), kind)
        for (start, kind), end in zip(starts, ends, strict=True)
        if kind != "comment" and (piece := data[start:end].rstrip())
    ]


@dataclass(frozen=True)
class At:
    """``AT (VERSION => …)``: byte offsets of the clause and of its expression."""

    start: int
    end: int
    unit: str
    value_start: int
    value_end: int


@dataclass(frozen=True)
class Reference:
    """A place in the text where a table stands.

    Attributes:
        path: its name, in parts.
        start, end: where the name stands; the same for both where it is not found in the text.
        alias: whether the text gives it an alias.
        at: its AT clause.
        select: the SELECT whose FROM it stands in, where its files can be pruned by that SELECT's WHERE.
        node: the tree's node, None where there is no tree.
        bare: no alias can follow it.
    """

    path: tuple[str, ...]
    start: int
    end: int
    alias: bool
    at: At | None
    select: Tree | None = None
    node: Tree | None = None
    bare: bool = False


@dataclass(frozen=True)
class FunctionCall:
    """A call of one of FUNCTIONS: byte offsets of the call and of the text between its parentheses."""

    name: str
    start: int
    end: int
    arguments_start: int
    arguments_end: int
    alias: bool


def splice(data: bytes, changes: Iterable[tuple[int, int, str]]) -> bytes:
    """Replace byte ranges, which do not overlap."""
    for start, end, text in sorted(changes, reverse=True):
        data = data[:start] + text.encode() + data[end:]
    return data


def closing(tokens: Sequence[Token], opening: int) -> int:
    """The index of the parenthesis that closes the one at ``opening``, or the last index where none does."""
    depth = 0
    for i in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[i].text, 0)
        if depth == 0:
            return i
    return len(tokens) - 1


def at_clauses(tokens: Sequence[Token]) -> Iterator[tuple[int, int, At]]:
    """Every AT clause: the indexes of its first and last token, and what it says."""
    for i in range(len(tokens) - 4):
        if tokens[i].word == "AT" and tokens[i + 1].text == "(" and tokens[i + 3].text == "=>":
            unit = tokens[i + 2].word
            last = closing(tokens, i + 1)
            if unit in ("VERSION", "TIMESTAMP") and last > i + 4:
                yield i, last, At(tokens[i].start, tokens[last].end, unit, tokens[i + 4].start, tokens[last - 1].end)


def plain_spaces(text: str) -> str:
    """The text with the spaces of other alphabets as DuckDB's parser has them: plain ones, but in strings and names."""
    return _QUOTED_OR_SPACE.sub(lambda found: " " if found[2] else found[0], text)


def has_other_spaces(tokens: Sequence[Token]) -> bool:
    """Whether spaces of other alphabets stand where DuckDB's parser may take them for plain ones, or for letters."""
    quoted = (each.text[:1] == '"' or (each.kind == "string_const" and each.text[:1] != "$") for each in tokens)
    return any(re.search(_SPACE, each.text) for each, safe in zip(tokens, quoted, strict=True) if not safe)


def aliases_first(data: bytes, tokens: Sequence[Token], names: Callable[[], Container[str]]) -> bytes:
    """The text with ``t AT (…) alias`` written as DuckDB's grammar has it: ``t alias AT (…)``.

    ``names`` gives the keywords, in capitals, that can be an alias.
    """
    changes: list[tuple[int, int, str]] = []
    for first, last, _ in at_clauses(tokens):
        end = last + 1
        if end < len(tokens) and tokens[end].word == "AS":
            end += 1
        elif end >= len(tokens) or not (tokens[end].is_name or tokens[end].word in names()):
            continue
        if end + 1 < len(tokens) and tokens[end + 1].text == "(":
            end = closing(tokens, end + 1)
        if end < len(tokens):
            moved = data[tokens[last].end : tokens[end].end].decode().strip()
            changes.append((tokens[first].start, tokens[first].start, moved + " "))
            changes.append((tokens[last].end, tokens[end].end, " "))
    return splice(data, changes)


def is_kept(tokens: Sequence[Token]) -> bool:
    """Whether what a statement reads is read again later: it makes a view or a macro."""
    at = _past_explain(tokens)
    if at == len(tokens) or tokens[at].word != "CREATE":
        return False
    name = next((i for i in _top_level(tokens, at) if tokens[i].word in ("AS", "(")), len(tokens))
    return any(token.word in ("VIEW", "MACRO", "FUNCTION") for token in tokens[at:name])


def inner_query(tokens: Sequence[Token]) -> tuple[int, int] | None:
    """Where the query inside a statement begins and ends."""
    at = _past_explain(tokens)
    if at == len(tokens):
        return None
    last = len(tokens) - 1
    while last > at and tokens[last].text == ";":
        last -= 1
    word = tokens[at].word
    if word == "COPY":
        if tokens[at + 1].text != "(":
            return None
        return tokens[at + 2].start, tokens[closing(tokens, at + 1) - 1].end
    if word in ("CREATE", "PREPARE"):
        first = next((i + 1 for i in _top_level(tokens, at) if tokens[i].word == "AS"), last + 1)
        kinds = {token.word for token in tokens[at:first]}
        if kinds & {"MACRO", "FUNCTION"} and first <= last and tokens[first].word == "TABLE":
            first += 1
    elif word == "INSERT":
        first = next((i for i in _top_level(tokens, at) if tokens[i].word in _QUERY_WORDS), last + 1)
    elif at > 0:
        first = at
    else:
        return None
    return (tokens[first].start, tokens[last].end) if first <= last else None


def inner_words(tokens: Sequence[Token]) -> str | None:
    """The first word of what a statement explains or prepares; None where it holds none."""
    at = _past_explain(tokens)
    if at < len(tokens) and tokens[at].word == "PREPARE":
        at = next((i + 1 for i in _top_level(tokens, at) if tokens[i].word == "AS"), len(tokens))
    return (tokens[at].word or tokens[at].text) if at < len(tokens) else None


def prepared_name(tokens: Sequence[Token]) -> tuple[str, str]:
    """The verb and the name (lower case) of a statement that makes, runs or drops a prepared one; empty for others."""
    if len(tokens) < 2 or tokens[0].word not in ("PREPARE", "EXECUTE", "DEALLOCATE"):
        return "", ""
    at = 2 if len(tokens) > 2 and [token.word for token in tokens[:2]] == ["DEALLOCATE", "PREPARE"] else 1
    return tokens[0].word, tokens[at].name.lower()


def explained(tokens: Sequence[Token]) -> Sequence[Token]:
    """What a statement explains; the statement itself where it is no EXPLAIN."""
    return tokens[_past_explain(tokens) :]


def _past_explain(tokens: Sequence[Token]) -> int:
    at = 0
    if tokens and tokens[0].word == "EXPLAIN":
        at = 1
        if at < len(tokens) and tokens[at].word == "ANALYZE":
            at += 1
        if at < len(tokens) and tokens[at].text == "(":
            at = closing(tokens, at) + 1
    return at


def _top_level(tokens: Sequence[Token], start: int) -> Iterator[int]:
    depth = 0
    for i in range(start, len(tokens)):
        if depth == 0:
            yield i
        depth += {"(": 1, ")": -1}.get(tokens[i].text, 0)


def written_tables(tokens: Sequence[Token]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The verb and the name of each table or view that a statement would write, make or drop, itself or in a CTE."""
    for at in (0, *inner_writers(tokens)):
        written = _written_table(tokens[at:])
        if written is not None:
            yield written


def _written_table(tokens: Sequence[Token]) -> tuple[str, tuple[str, ...]] | None:
    at = _past_explain(tokens)
    if at < len(tokens) and tokens[at].word == "WITH":
        verbs = ("INSERT", "UPDATE", "DELETE", "MERGE")
        at = next((i for i in _top_level(tokens, at) if tokens[i].word in verbs), len(tokens))
    words = [token.word for token in tokens]
    verb = words[at] if at < len(tokens) else ""
    at += 1
    if verb in ("INSERT", "MERGE"):
        at = words.index("INTO", at) + 1 if "INTO" in words[at:] else len(tokens)
    elif verb in ("CREATE", "DROP", "ALTER"):
        while at < len(tokens) and words[at] in _CREATE_WORDS:
            at += 1
        if at < len(tokens) and words[at] not in ("TABLE", "VIEW"):
            return None
        at = _past(words, at, ("TABLE", "VIEW", "IF", "NOT", "EXISTS"))
    elif verb in ("DELETE", "TRUNCATE", "UPDATE"):
        at = _past(words, at, ("FROM", "TABLE", "ONLY"))
    elif verb != "COPY":
        return None
    path, after = path_at(tokens, at)
    if verb == "COPY":
        if after < len(tokens) and tokens[after].text == "(":
            after = closing(tokens, after) + 1
        if after >= len(tokens) or words[after] != "FROM":
            return None
    return (verb, path) if path else None


def inner_writers(tokens: Sequence[Token]) -> Iterator[int]:
    """The indexes of COPY, INSERT, UPDATE and DELETE where they begin what stands in parentheses: the body of a CTE."""
    begins: list[int] = []
    for i, token in enumerate(tokens):
        if token.text == "(":
            begins.append(i + 1)
        elif token.text == ")":
            del begins[-1:]
        elif begins and token.word == _WRITERS.get(tokens[begins[-1]].word):
            yield begins[-1]


def _past(words: Sequence[str], at: int, skipped: tuple[str, ...]) -> int:
    while at < len(words) and words[at] in skipped:
        at += 1
    return at


def changed_setting(tokens: Sequence[Token]) -> str:
    """The setting, in lower case, that a SET or PRAGMA changes; empty for other statements."""
    at = _past_explain(tokens)
    words = [token.word for token in tokens]
    if at >= len(tokens) or words[at] not in ("SET", "PRAGMA"):
        return ""
    at = _past(words, at + 1, ("GLOBAL", "SESSION", "LOCAL"))
    return tokens[at].name.lower() if at < len(tokens) else ""


def path_at(tokens: Sequence[Token], at: int) -> tuple[tuple[str, ...], int]:
    """The dotted name that begins at an index, empty where none does, and the index after it."""
    parts: list[str] = []
    while at < len(tokens) and tokens[at].kind in ("identifier", "keyword", "string_const"):
        parts.append(tokens[at].name)
        at += 1
        if at >= len(tokens) or tokens[at].text != ".":
            break
        at += 1
    return tuple(parts), at


def tree_references(tree: Tree, tokens: Sequence[Token]) -> list[Reference]:
    """The tables in a tree that no CTE shadows; ``tokens`` are those of the text that the tree was parsed from.

    Raises QueryError where the tree is too deep to be walked.
    """
    try:
        return _references(tree, tokens)
    except RecursionError as error:
        raise QueryError("the SQL is nested too deeply", hint="write it in several steps") from error


def _references(tree: Tree, tokens: Sequence[Token]) -> list[Reference]:
    found: list[Reference] = []
    selects: dict[int, Tree] = {}
    used: set[int] = set()
    for node, scope in _scoped(tree, frozenset()):
        if node.get("type") == "SELECT_NODE" and node.get("sample") is None:
            selects.update((id(table), node) for table in _prunable(node.get("from_table")))
        elif node.get("type") == "BASE_TABLE":
            reference = _from_node(node, tokens, selects.get(id(node)), used)
            if not (len(reference.path) == 1 and _folded(reference.path[0]) in scope and reference.at is None):
                found.append(reference)
    return found


def _folded(name: str) -> str:
    """A name as DuckDB compares it: no letters but ASCII's lose their case."""
    return name.translate(_LOWER)


def _scoped(node: Any, scope: frozenset[str]) -> Iterator[tuple[Tree, frozenset[str]]]:
    """Every object of a tree with the CTE names (folded) that it sees, parents first."""
    if isinstance(node, list):
        for item in node:
            yield from _scoped(item, scope)
    elif isinstance(node, Mapping):
        for entry in (node.get("cte_map") or {}).get("map", ()):
            yield from _scoped(entry["value"], scope)
            scope |= {_folded(str(entry["key"]))}
        yield node, scope
        # What a recursive query begins with, its left side, does not see the query itself.
        itself = {_folded(str(node["cte_name"]))} if node.get("type") == "RECURSIVE_CTE_NODE" else set()
        for key, value in node.items():
            if key != "cte_map":
                yield from _scoped(value, scope | itself if key == "right" else scope)


def _prunable(source: Any) -> Iterator[Tree]:
    """The tables of a FROM whose rows can go where the SELECT's WHERE is not true of them."""
    if not isinstance(source, Mapping):
        return
    if source.get("type") == "BASE_TABLE" and source.get("sample") is None:
        yield source
    elif (
        source.get("type") == "JOIN"
        and source.get("sample") is None
        and source.get("ref_type") in _PLAIN_JOINS
        and source.get("join_type") in _JOINS | _FILTERS
    ):
        yield from _prunable(source["left"])
        # The WHERE sees no column of a SEMI or ANTI join's right side: a name in it never means that side.
        if source["join_type"] in _JOINS:
            yield from _prunable(source["right"])


def _from_node(node: Tree, tokens: Sequence[Token], select: Tree | None, used: set[int]) -> Reference:
    path = tuple(str(part) for part in node["qualified_name"]["path"])
    start = int(node["query_location"])
    if start == _NOWHERE:
        return _found_by_name(node, path, tokens, used)
    inside = [token for token in tokens if start <= token.start < start + int(node["query_location_length"])]
    _, after = path_at(inside, 0)
    if not after:
        raise QueryError(f"'{'.'.join(path)}' is not where DuckDB's parser says", hint="write it in plain letters")
    clauses = [clause for _, _, clause in at_clauses(inside)]
    at = clauses[-1] if node.get("at_clause") and clauses else None
    return Reference(path, start, inside[after - 1].end, bool(node.get("alias")), at, select, node)


def _found_by_name(node: Tree, path: tuple[str, ...], tokens: Sequence[Token], used: set[int]) -> Reference:
    for i, token in enumerate(tokens[:-1]):
        if token.word in _TABLE_WORDS and i not in used:
            parts, after = path_at(tokens, i + 1)
            if parts == path:
                used.add(i)
                return Reference(path, tokens[i + 1].start, tokens[after - 1].end, False, None, None, node, bare=True)
    return Reference(path, 0, 0, False, None, None, node, bare=True)


def token_references(tokens: Sequence[Token], names: Container[str] = ()) -> list[Reference]:
    """The tables with an AT clause in a text that has no tree; ``names`` are keywords, in capitals, that can be one."""
    found = []
    for first, _, at in at_clauses(tokens):
        end = first - 1
        if end > 0 and tokens[end].text == ")":
            end = next((i - 1 for i in range(end, -1, -1) if closing(tokens, i) == end and tokens[i].text == "("), end)
        alias = False
        if end > 1 and tokens[end - 1].word == "AS":
            alias, end = True, end - 2
        elif end > 0 and (tokens[end - 1].is_name or tokens[end - 1].text[:1] == '"' or tokens[end - 1].word in names):
            alias, end = True, end - 1
        start = end
        while start > 1 and tokens[start - 1].text == ".":
            start -= 2
        path, _ = path_at(tokens[: end + 1], start)
        if path:
            found.append(Reference(path, tokens[start].start, tokens[end].end, alias, at))
    return found


def function_calls(tokens: Sequence[Token]) -> list[FunctionCall]:
    """The calls of our table functions."""
    found = []
    for i in range(len(tokens) - 2):
        name = tokens[i].name.lower()
        if name in FUNCTIONS and tokens[i + 1].text == "(" and (i == 0 or tokens[i - 1].text != "."):
            last = closing(tokens, i + 1)
            after = tokens[last + 1] if last + 1 < len(tokens) else None
            alias = after is not None and (after.word == "AS" or after.is_name)
            found.append(
                FunctionCall(name, tokens[i].start, tokens[last].end, tokens[i + 1].end, tokens[last].start, alias)
            )
    return found
