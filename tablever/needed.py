"""Which files a query needs of a table: what the WHERE beside the table in the query's tree leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tablever.layout import table_schema
from tablever.model import DataFile, Snapshot
from tablever.predicates import Resolve, conjuncts, prune
from tablever.statements import Reference, Tree


def needed_files(snapshot: Snapshot, reference: Reference) -> Sequence[DataFile]:
    """The files that can hold rows for which the WHERE beside a reference is true."""
    if reference.select is None or reference.node is None or reference.node["column_name_alias"]:
        return snapshot.files
    schema = table_schema(snapshot.metadata)
    source = reference.select["from_table"]
    alone = source["type"] == "BASE_TABLE"
    resolve = _resolver(reference, schema)
    parts = conjuncts(reference.select["where_clause"], schema, resolve=resolve, null_tests=alone)
    return prune(snapshot.files, parts, schema, snapshot.metadata) if parts else snapshot.files


def _resolver(reference: Reference, schema: pa.Schema) -> Resolve:
    """Which column of the reference's table a name in the WHERE beside it means, where that is certain."""
    select, node = reference.select or {}, reference.node or {}
    sources = list(_sources(select.get("from_table")))
    own = str(node.get("alias") or reference.path[-1]).lower()
    aliases = [_alias(source) for source in sources]
    by_lower = {name.lower(): name for name in schema.names}
    outputs = {str(item.get("alias", "")).lower() for item in select.get("select_list", ())}
    merges = any(s.get("using_columns") or s.get("ref_type") == "NATURAL" for s in sources)

    def resolve(path: Sequence[str]) -> str | None:
        column = by_lower.get(path[-1].lower())
        if len(path) == 1:
            return None if column is None or path[0].lower() in outputs or merges else column
        certain = len(path) == 2 and path[0].lower() == own and aliases.count(own) == 1 and own not in by_lower
        return column if certain else None

    return resolve


def _sources(source: Any) -> Iterator[Tree]:
    """A FROM's parts, the joins themselves among them."""
    if isinstance(source, Mapping):
        yield source
        if source.get("type") == "JOIN":
            yield from _sources(source["left"])
            yield from _sources(source["right"])


def _alias(source: Tree) -> str:
    path = (source.get("qualified_name") or {}).get("path") or [""]
    return str(source.get("alias") or path[-1]).lower()
