"""Version control for the rows of a table: Delta Lake tables whose every version can be read again and compared.

From the edges inwards; imports run down this list only:

    cli, demo                       the shell, and a tour on real data
    table                           Table, create_table, open_table
    sql, session, results           query, connect: AT (VERSION => …), table_versions, table_changes, table_history
    views                           what a session keeps in its database: views of versions, staged rows
    needed, catalog, statements     which files, tables and pieces of text a statement is about
    history                         a row's life: its events, who wrote it last, every lifetime
    diff                            what changed between two versions; patches, audits
    report                          a diff as text, JSON, Markdown, HTML; opens nothing
    drift                           how far a column's values moved; chance
    changefeed                      the change rows of commits
    write                           append, upsert, update, delete, overwrite
    undo                            restore, revert
    compaction, vacuuming, usage    compact, vacuum, du
    replay_changes                  changes of one version onto another head
    integrity                       verify: level by level, what is not as it was committed
    repairing                       repair: a torn log goes on from its last good version
    tags, runs, pins                names of versions, what used them, what keeps them
    settings                        set_key, set_not_null, add_constraint, set_retention, protect
    creation                        a new table
    contents                        content_hash, content_hash_of
    versions                        list_versions, resolve_version
    read                            read_version, scan_version, iter_batches
    witnesses                       which versions are remembered, by what
    options, batches                what every write takes; what makes a load the same load
    commit                          plan, compare-and-swap, plan again
    replanning                      a row-level plan for a newer head, by what came since
    plan                            a net change into files, change rows and counts
    merge, difference               rows met by key; rows in which two sets of files differ
    deletions, datafiles            rows out of, and into, Parquet
    constraints, protocol           CHECK; the features a table declares
    file_digests                    digests of rows as they lie in files
    engine, predicates, expressions DuckDB, and what an expression lets us skip
    permits                         what statements may do besides reading
    frames                          Polars
    freeing, ledger                 what a vacuum removes; which objects the versions need
    scan, decode, layout            what must be read to have a version's rows, and how it lies in files
    digest_cache                    the digest of a version where it is known unread
    log, logcache, logfiles         the log of one table: a handle, what it has read, the folder
    witness_files                   tags, runs and pins as objects beside it
    sealed                          objects that hold a digest of themselves
    tail                            the newest entries of a log, as far as they are torn
    packing                         which files are merged, in whose place
    storage                         objects on a disk, or in a bucket
    incoming, records, inference    rows in, from Arrow and from Python values
    fitting, conversion, columns    rows into a table's types, nothing lost
    delta, schema, arrow_types      the Delta protocol and its types as values
    findings, measures              what a comparison found; the number that stands for a value
    arrow_json                      Arrow's values from JSON, and as JSON
    json_values, texts              values as JSON, as text on a screen
    digests, key_filters            what rows are called by their content; which keys a commit changed
    retention, quantities           policies, bytes and spans of time, as people write them
    changes, rows, refs             the algebra of changes; equality; what a ref means
    authorship                      who commits, and what they may say
    fences                          where a table's files may lie
    model, errors, spans            words; sets of versions
    strict_json, escapes            JSON, and no more than that; what could steer a terminal, written out

Every public name is loaded when it is first used, so that ``import tablever`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tablever import errors as errors
    from tablever.compaction import compact as compact
    from tablever.contents import content_hash as content_hash
    from tablever.contents import content_hash_of as content_hash_of
    from tablever.diff.audits import Audit as Audit
    from tablever.diff.audits import audit as audit
    from tablever.diff.patches import apply_patch as apply_patch
    from tablever.diff.patches import write_patch as write_patch
    from tablever.diff.value import Diff as Diff
    from tablever.diff.value import diff_rows as diff_rows
    from tablever.diff.value import diff_tables as diff_tables
    from tablever.diff.value import diff_versions as diff_versions
    from tablever.diff.value import version_changes as version_changes
    from tablever.findings import Plan as Plan
    from tablever.history.authors import blame as blame
    from tablever.history.events import RowEvent as RowEvent
    from tablever.history.events import row_history as row_history
    from tablever.history.sightings import runs_that_saw as runs_that_saw
    from tablever.integrity.report import Report as Report
    from tablever.integrity.verification import verify as verify
    from tablever.model import Pin as Pin
    from tablever.model import Run as Run
    from tablever.model import Tag as Tag
    from tablever.model import Version as Version
    from tablever.pins import list_pins as list_pins
    from tablever.pins import pin as pin
    from tablever.pins import unpin as unpin
    from tablever.read import iter_batches as iter_batches
    from tablever.read import read_version as read_version
    from tablever.read import scan_version as scan_version
    from tablever.repairing import Repair as Repair
    from tablever.repairing import repair as repair
    from tablever.runs import link_run as link_run
    from tablever.runs import runs_of as runs_of
    from tablever.runs import unlink_run as unlink_run
    from tablever.runs import versions_of as versions_of
    from tablever.settings import add_constraint as add_constraint
    from tablever.settings import protect as protect
    from tablever.settings import set_key as set_key
    from tablever.settings import set_not_null as set_not_null
    from tablever.settings import set_retention as set_retention
    from tablever.sql import connect as connect
    from tablever.sql import query as query
    from tablever.table import Table as Table
    from tablever.table import create_table as create_table
    from tablever.table import open_table as open_table
    from tablever.tags import delete_tag as delete_tag
    from tablever.tags import list_tags as list_tags
    from tablever.tags import tag as tag
    from tablever.undo import restore as restore
    from tablever.undo import revert as revert
    from tablever.usage import Usage as Usage
    from tablever.usage import du as du
    from tablever.vacuuming import Vacuum as Vacuum
    from tablever.vacuuming import vacuum as vacuum
    from tablever.versions import list_versions as list_versions
    from tablever.versions import resolve_version as resolve_version
    from tablever.write import append as append
    from tablever.write import delete as delete
    from tablever.write import overwrite as overwrite
    from tablever.write import update as update
    from tablever.write import upsert as upsert


_HOMES = {
    "Audit": "diff.audits",
    "Diff": "diff.value",
    "Pin": "model",
    "Report": "integrity.report",
    "Plan": "findings",
    "Repair": "repairing",
    "RowEvent": "history.events",
    "Run": "model",
    "Table": "table",
    "Tag": "model",
    "Usage": "usage",
    "Vacuum": "vacuuming",
    "Version": "model",
    "add_constraint": "settings",
    "append": "write",
    "apply_patch": "diff.patches",
    "audit": "diff.audits",
    "blame": "history.authors",
    "compact": "compaction",
    "connect": "sql",
    "content_hash": "contents",
    "content_hash_of": "contents",
    "create_table": "table",
    "delete": "write",
    "delete_tag": "tags",
    "diff_rows": "diff.value",
    "diff_tables": "diff.value",
    "diff_versions": "diff.value",
    "du": "usage",
    "iter_batches": "read",
    "link_run": "runs",
    "list_pins": "pins",
    "list_tags": "tags",
    "list_versions": "versions",
    "open_table": "table",
    "overwrite": "write",
    "pin": "pins",
    "protect": "settings",
    "query": "sql",
    "read_version": "read",
    "repair": "repairing",
    "resolve_version": "versions",
    "restore": "undo",
    "revert": "undo",
    "row_history": "history.events",
    "runs_of": "runs",
    "runs_that_saw": "history.sightings",
    "scan_version": "read",
    "set_key": "settings",
    "set_not_null": "settings",
    "set_retention": "settings",
    "tag": "tags",
    "unlink_run": "runs",
    "unpin": "pins",
    "update": "write",
    "upsert": "write",
    "vacuum": "vacuuming",
    "verify": "integrity.verification",
    "version_changes": "diff.value",
    "versions_of": "runs",
    "write_patch": "diff.patches",
}

__all__ = ["__version__", "errors", *_HOMES]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("tablever.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'tablever' has no attribute {name!r}")
    value = getattr(import_module(f"tablever.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
