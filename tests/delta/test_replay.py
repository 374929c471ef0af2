"""Replay of actions into states."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever.delta import replay
from tablever.delta.actions import Action, Add, DomainMetadata, Remove, Transaction
from tablever.delta.commits import EPOCH
from tablever.errors import CorruptionError
from tablever.model import DataFile, DeletionVector, Metadata, Protocol

VECTORS = [None, DeletionVector("i", "a", 1, 1), DeletionVector("i", "b", 1, 2)]
files = st.builds(
    DataFile,
    path=st.integers(0, 30).map(lambda number: f"part {number}"),
    size=st.just(1),
    modification_time=st.integers(0, 5),
    vector=st.sampled_from(VECTORS),
)
moves = st.lists(st.builds(Add, files) | st.builds(Remove, files, st.none()), max_size=8)


@given(st.lists(files, max_size=60), st.lists(moves, max_size=6))
def test_replay_is_a_dict_of_identities(start: list[DataFile], entries: list[list[Add | Remove]]) -> None:
    """A state's files are those added and not removed since, by path and vector, in row order."""
    state = replay.from_files(replay.State(), start)
    expected = {replay.identity(file): file for file in start}
    for entry in entries:
        for move in entry:
            expected.pop(replay.identity(move.file), None)
            if isinstance(move, Add):
                expected[replay.identity(move.file)] = move.file
        before = (state.files, dict(state.index))
        after = replay.apply(state, entry)
        assert (state.files, dict(state.index)) == before
        state = after
        assert sorted(state.files, key=repr) == sorted(expected.values(), key=repr)
        assert list(state.files) == sorted(state.files, key=replay.row_order)
        assert dict(state.index) == expected


@given(st.integers(0, 400), st.lists(st.integers(0, 399), max_size=12, unique=True))
def test_few_moves_among_many_files_keep_the_order(seed: int, gone: list[int]) -> None:
    """Replacing a few of many files leaves the others, and the order of rows, as they were."""
    start = [DataFile(f"{(number * 7 + seed) % 400:03d}", 1, number // 3) for number in range(400)]
    state = replay.from_files(replay.State(), start)
    touched = [state.files[position] for position in gone]
    renewed = [replace(file, vector=VECTORS[1]) for file in touched]
    after = replay.apply(state, [*(Remove(file, None) for file in touched), *map(Add, renewed)])
    assert [file.path for file in after.files] == [file.path for file in state.files]
    assert sum(file.vector is not None for file in after.files) == len(gone)


def test_a_path_may_be_encoded_in_two_ways() -> None:
    """A remove finds its file where the two writers percent-encode differently."""
    state = replay.from_files(replay.State(), [DataFile("a%20b", 1, 1)])
    assert replay.apply(state, [Remove(DataFile("a b", 0, 0), None)]).files == ()


def test_the_newest_settings_win() -> None:
    """Protocol, metadata, transactions and domains are those last written; a removed domain is gone."""
    first: list[Action] = [
        Protocol(1, 2),
        Metadata("m", "{}"),
        Transaction("a", 1, None),
        Transaction("b", 5, None),
        DomainMetadata("d", "1", removed=False),
        DomainMetadata("e", "2", removed=False),
    ]
    state = replay.apply(replay.State(), first)
    state = replay.apply(state, [Protocol(3, 7), Transaction("a", 2, None), DomainMetadata("d", "", removed=True)])
    snapshot = replay.to_snapshot(state, number=1, timestamp=EPOCH, table="t")
    assert (snapshot.protocol.min_reader, snapshot.metadata.id) == (3, "m")
    assert (dict(snapshot.transactions), dict(snapshot.domains)) == ({"a": 2, "b": 5}, {"e": "2"})


@pytest.mark.parametrize(("there", "missing"), [(Protocol(1, 2), "metaData"), (Metadata("m", "{}"), "protocol")])
def test_a_log_without_settings_is_no_snapshot(there: Action, missing: str) -> None:
    """A version whose log has no protocol or no metadata is corrupt, and says which."""
    with pytest.raises(CorruptionError, match=missing):
        replay.to_snapshot(replay.apply(replay.State(), [there]), number=0, timestamp=EPOCH, table="t")
