"""Whatever the network does to an operation: it ends right, or as a StorageError that leaves the table as it was."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import tablever as tv
from tablever import errors
from tests.campaigns.object_faults import campaign
from tests.object_storage.faults import KINDS, Fault, FaultyNetwork, Kind, Request, asked
from tests.object_storage.servers import Server
from tests.object_storage.tables import (
    CHECKPOINT,
    HOLD,
    IMPATIENT,
    OPERATIONS,
    WRITES,
    Objects,
    Operation,
    Place,
    copy_of,
    make_long_table,
    make_table,
    new_place,
    objects_of,
    plain,
    state_of,
)

Outcome = tuple[Any, tuple[Any, Any]]
# A campaign does them all, many times: tests/campaigns/object_faults.py.
READ_KINDS: tuple[Kind, ...] = ("error", "reset", "cut", "answer lost")
WRITE_KINDS = tuple(kind for kind in KINDS if kind not in ("latency", "denied"))
CASES = [(name, kind) for name in OPERATIONS for kind in (WRITE_KINDS if name in WRITES else READ_KINDS)]
CASES.append(("append", "latency"))


@pytest.fixture(scope="session")
def pristine(seaweedfs: Server) -> Objects:
    """A table's objects, to be copied."""
    place = new_place(seaweedfs)
    make_table(place)
    return objects_of(seaweedfs, place)


@pytest.fixture(scope="session")
def long(seaweedfs: Server) -> Objects:
    """The objects of a table that is about to be checkpointed."""
    place = new_place(seaweedfs)
    make_long_table(place)
    return objects_of(seaweedfs, place)


@pytest.fixture(scope="session")
def outcome(seaweedfs: Server, pristine: Objects) -> Callable[[str], Outcome]:
    """By an operation's name: what it returns where nothing goes wrong, and the tables after it."""

    @cache
    def of(name: str) -> Outcome:
        place = copy_of(seaweedfs, pristine)
        return plain(OPERATIONS.get(name, lambda _: None)(place)), states(place)

    return of


def states(place: Place) -> tuple[Any, Any]:
    """The table, and the one that ``create`` makes beside it."""
    return state_of(place), state_of(Place(f"{place.uri}-new", place.options))


def attempt(operation: Operation, place: Place) -> Any:
    """What an operation returns, or the StorageError that it raises: no other error."""
    try:
        return plain(operation(place))
    except errors.StorageError as error:
        return error


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_each_request_fails_once(
    seaweedfs: Server,
    network: FaultyNetwork,
    pristine: Objects,
    outcome: Callable[[str], Outcome],
    name: str,
    kind: Kind,
) -> None:
    """The first request of each sort that an operation makes goes wrong in one way, and the next of that sort works:
    the operation gives what it gives when nothing goes wrong, and is done once. Only an answer that is cut, where it
    says that there is nothing, may end it; then nothing was done.
    """
    place = copy_of(seaweedfs, pristine)
    seen: set[str] = set()

    def first_of_its_sort(request: Request) -> Fault | None:
        unfit = (kind == "conflict" and not request.conditional) or (kind == "timeout" and request.method != "PUT")
        if str(request) in seen or unfit:
            return None
        seen.add(str(request))
        return Fault(kind, seconds=HOLD.get(kind, 0.0))

    network.decide(first_of_its_sort)
    found = attempt(OPERATIONS[name], place.through(seaweedfs.through(network.address), **IMPATIENT))
    network.heal()
    assert network.injected
    if kind == "cut" and isinstance(found, errors.StorageError):
        assert states(place) == outcome("nothing")[1]
    else:
        assert (found, states(place)) == outcome(name)
    again = tv.append(place.open(), [{"id": 999, "part": "p0", "text": "again"}])
    assert again is not None


# Where an operation is decided, and how that may fail for good.
DECIDED = {name: "PUT witness" if name in ("tag", "link_run") else "PUT log entry" for name in WRITES}


@pytest.mark.parametrize("kind", ["error", "conflict", "timeout", "answer lost", "late"])
@pytest.mark.parametrize("name", ["create", "append", "vacuum", "tag"])
def test_what_decides_fails_for_good(
    seaweedfs: Server,
    network: FaultyNetwork,
    pristine: Objects,
    outcome: Callable[[str], Outcome],
    name: str,
    kind: Kind,
) -> None:
    """Where the one put that decides goes wrong however often it is tried, the operation is done as it says that it
    is, or raises a StorageError and is not; where nobody can know which, the error says so, and nothing is lost. Where
    a tag is made and the journal's entry of it is what fails, the error says that it is made.
    """
    place = copy_of(seaweedfs, pristine)
    before, after = outcome("nothing"), outcome(name)
    network.inject(Fault(kind, asked(DECIDED[name]), times=None, seconds=HOLD.get(kind, 0.0)))
    found = attempt(OPERATIONS[name], place.through(seaweedfs.through(network.address), **IMPATIENT))
    network.heal()
    if not isinstance(found, errors.StorageError):
        assert (found, states(place)) == after
    elif "unsure" in found.facts:
        assert states(place) in (before[1], after[1])
    else:
        assert states(place) == (after if "made" in found.facts else before)[1]
    again = tv.append(place.open(), [{"id": 999, "part": "p0", "text": "again"}])
    assert again is not None
    assert tv.verify(place.open(), level="rows").damaged == ()


@pytest.mark.parametrize("kind", ["error", "answer lost"])
@pytest.mark.parametrize("what", ["PUT checkpoint", "PUT last checkpoint"])
def test_a_checkpoint_fails_for_good(
    seaweedfs: Server, network: FaultyNetwork, long: Objects, what: str, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """A commit does not fail with the checkpoint after it, is not done twice, and the table goes on."""
    place = copy_of(seaweedfs, long)
    table = place.through(seaweedfs.through(network.address), **IMPATIENT).open()
    tv.resolve_version(table, "latest")
    network.inject(Fault(kind, asked(what), times=None))
    with caplog.at_level(logging.WARNING):
        version = tv.append(table, [{"id": 5000, "part": "p0", "text": "t"}])
    network.heal()
    assert version is not None
    assert version.number == CHECKPOINT
    again = tv.append(place.open(), [{"id": 5001, "part": "p0", "text": "t"}])
    assert again is not None
    assert again.number == CHECKPOINT + 1
    assert len(tv.read_version(place.open())) == 40 + CHECKPOINT + 1


def test_a_short_campaign(seaweedfs: Server) -> None:
    """Random operations under random faults: what is said of each is true, by a model (a few of a long campaign's)."""
    found = campaign(seaweedfs, seed=7, operations=25)
    assert found.wrong == []
    assert found.operations.total() == 25
    assert found.faults.total() > 0


MADE: dict[str, Operation] = {
    "tag": lambda p: tv.tag(p.open(), "v9", 3).version,
    "link_run": lambda p: tv.link_run(p.open(), 3, "r9", metrics={"f1": 0.5}).version,
    "link_run again": lambda p: tv.link_run(p.open(), 3, "r1", metrics={"f1": 0.6}).version,
    "pin": lambda p: tv.pin(p.open(), 3, reason="kept").version,
}


@pytest.mark.parametrize("name", MADE)
def test_what_fails_once_a_witness_is_made_says_that_it_is(
    seaweedfs: Server, network: FaultyNetwork, pristine: Objects, name: str
) -> None:
    """A tag, run or pin that was made, and cannot be looked at any more, is told as made, in the fact ``made``."""
    place = copy_of(seaweedfs, pristine)
    tv.link_run(place.open(), 3, "r1", metrics={"f1": 0.5})
    before, puts = state_of(place), list[Request]()

    def then_denied(request: Request) -> Fault | None:
        if str(request) == "PUT witness":
            puts.append(request)
        elif len(puts) > (2 if name == "link_run again" else 1):  # itself, and the journal's entry of it
            return Fault("denied")
        return None

    network.decide(then_denied)
    found = attempt(MADE[name], place.through(seaweedfs.through(network.address), **IMPATIENT))
    network.heal()
    assert isinstance(found, errors.StorageError)
    assert str(found.made).startswith("_tablever/")
    assert tv.runs_of(place.open())[0].metrics["f1"] == (0.6 if name == "link_run again" else 0.5)
    assert (state_of(place) != before) == (name != "link_run again")
    assert tv.verify(place.open()).damaged == ()
