"""Log entries as values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever.delta.actions import (
    Action,
    Add,
    CommitInfo,
    DomainMetadata,
    Remove,
    Transaction,
    build_actions,
    decode_path,
    parse_entry,
    render,
    render_entry,
)
from tablever.errors import CorruptionError, UnsupportedFeatureError
from tablever.model import ChangeFile, DataFile, DeletionVector, Metadata, Protocol

NAME = "00000000000000000007.json"

text = st.text(max_size=20)
number = st.integers(0, 2**62)
values = st.dictionaries(text, st.none() | text, max_size=3)
vectors = st.builds(DeletionVector, st.sampled_from("uip"), text, number, number, st.none() | number)
files = st.builds(
    DataFile,
    path=text,
    size=st.integers(1, 2**62),
    modification_time=number,
    partition_values=values,
    stats=st.none() | text,
    tags=st.none() | values,
    vector=st.none() | vectors,
    base_row_id=st.none() | number,
    default_row_commit_version=st.none() | number,
    clustering_provider=st.none() | text,
)
removed = files.map(lambda file: DataFile(**{**file.__dict__, "modification_time": 0}))
features = st.none() | st.frozensets(text, max_size=3)
actions = st.one_of(
    st.builds(Protocol, number, number, features, features),
    st.builds(
        Metadata,
        id=text,
        schema_string=text,
        partition_columns=st.lists(text, max_size=2).map(tuple),
        configuration=st.dictionaries(text, text, max_size=3),
        name=st.none() | text,
        description=st.none() | text,
        created_time=st.none() | number,
    ),
    st.builds(Add, files, st.booleans()),
    st.builds(Remove, removed, st.none() | number, st.booleans()),
    st.builds(ChangeFile, text, number, values),
    st.builds(Transaction, text, number, st.none() | number),
    st.builds(DomainMetadata, text, text, st.booleans()),
    st.builds(CommitInfo, st.dictionaries(text, text | number | st.none(), max_size=3)),
)


@given(st.lists(actions, min_size=1, max_size=5))
def test_what_is_rendered_parses_back(entry: list[Action]) -> None:
    """Parsing a rendered entry gives its actions again, in their order."""
    assert parse_entry(render_entry(entry), name=NAME) == entry


@given(
    st.lists(actions, min_size=1, max_size=5), st.sampled_from([None, 2, "\t"]), st.sampled_from(["", "\n", "\r\n "])
)
def test_layout_of_the_text_does_not_matter(entry: list[Action], indent: Any, end: str) -> None:
    """An entry means the same on one line an action, pretty-printed, or without its last line's end."""
    lines = "\n".join(json.dumps(render(action), indent=indent) for action in entry)
    assert parse_entry((lines + end).encode(), name=NAME) == entry


@given(st.lists(actions, min_size=1, max_size=3), st.data())
def test_a_cut_entry_is_corruption(entry: list[Action], data: st.DataObject) -> None:
    """An entry that ends inside an action is refused; one cut between actions holds those before."""
    whole = render_entry(entry)
    cut = data.draw(st.integers(0, len(whole) - 2))
    ends = [len(render_entry(entry[:count])) for count in range(1, len(entry))]
    if cut in ends or cut + 1 in ends:
        return
    with pytest.raises(CorruptionError) as caught:
        parse_entry(whole[:cut], name=NAME)
    assert (caught.value.file, caught.value.last_good) == (NAME, 6)
    assert NAME in str(caught.value)
    assert "6" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n \n",
        b"[]",
        b"1",
        b'{"add":1}',
        b'{"add":{"path":"a"}}',
        b'{"add":{"path":1,"size":1,"modificationTime":1}}',
        b'{"add":{"path":"a","size":"1","modificationTime":1}}',
        b'{"add":{"path":"a","size":1,"modificationTime":1,"partitionValues":{"p":1}}}',
        b'{"metaData":{"id":"x"}}',
        b'{"protocol":{}}',
        b'{"txn":{"appId":"a"}}',
        b'{"commitInfo":[1]}',
        b"\xff\xfe",
        b'{"a":[1\n2]}',
    ],
)
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    """Empty, malformed and incomplete entries raise CorruptionError, never another error."""
    with pytest.raises(CorruptionError) as caught:
        parse_entry(data, name=NAME)
    assert caught.value.file == NAME


def test_the_first_entry_has_no_version_before() -> None:
    """A damaged version 0 names no last good version."""
    with pytest.raises(CorruptionError) as caught:
        parse_entry(b"", name="00000000000000000000.json")
    assert caught.value.last_good is None


def test_unknown_actions_and_fields_are_passed_over() -> None:
    """What a later protocol adds, and nulls in place of actions, do not stand in the way."""
    entry = b'{"news":{"a":1}}\n{"txn":{"appId":"a","version":1,"more":[1]},"add":null}\n'
    assert parse_entry(entry, name=NAME) == [Transaction("a", 1, None)]
    assert build_actions([], name=NAME) == []


def test_paths_stay_as_they_are() -> None:
    """A percent-encoded path is kept in the action and decoded on request."""
    [action] = parse_entry(b'{"add":{"path":"p=a%2520b/x%23.parquet","size":1,"modificationTime":1}}', name=NAME)
    assert isinstance(action, Add)
    assert action.file.path == "p=a%2520b/x%23.parquet"
    assert decode_path(action.file.path) == "p=a%20b/x#.parquet"


def test_paths_below_the_root_are_made_relative() -> None:
    """An absolute path or URI into the table's own folder is a relative one."""
    for path in ("/data/t/a%20b", "file:///data/t/a%20b", "file:/data/t/a%20b", "a%20b"):
        assert decode_path(path, root="/data/t") == "a b"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "file:///etc/passwd", "../x", "a/%2e%2e/../x", "s3://b/x", "/data/tt/x"]
)
def test_paths_out_of_the_table_are_refused(path: str) -> None:
    """No path in a log leads a reader out of the table's folder."""
    with pytest.raises(UnsupportedFeatureError, match="outside the table"):
        decode_path(path, root="/data/t")


@pytest.mark.parametrize("path", ["", "a%00b"])
def test_what_is_no_path_is_corruption(path: str) -> None:
    """An empty path, or one with a NUL, is damage."""
    with pytest.raises(CorruptionError):
        decode_path(path)
