"""The servers that judge the store are judged themselves: they keep what object stores promise."""

from __future__ import annotations

import base64
import multiprocessing
import secrets
import uuid
from dataclasses import replace
from typing import Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, BaseError

from tests.object_storage.servers import Server

SPAWN = multiprocessing.get_context("spawn")
RACERS, ROUNDS = 4, 15


@pytest.fixture
def prefix() -> str:
    """A place of the test's own."""
    return uuid.uuid4().hex


def test_what_was_put_is_there_at_once(server: Server, prefix: str) -> None:
    """An object that was put is read, listed and sized from then on, and gone once it was deleted."""
    store = server.store(prefix)
    names = [f"a/{n:03}.json" for n in range(30)] + ["a/ü %20.json", "b/deep/er/x.bin"]
    for n, name in enumerate(names):
        obstore.put(store, name, b"x" * n)
        assert obstore.get(store, name).bytes().to_bytes() == b"x" * n
        assert obstore.head(store, name)["size"] == n
    found = [meta["path"] for page in obstore.list(store) for meta in page]
    assert sorted(found) == sorted(names)
    assert obstore.get_range(store, names[20], start=5, length=10).to_bytes() == b"x" * 10
    obstore.delete(store, names[0])
    with pytest.raises(FileNotFoundError):
        obstore.get(store, names[0])
    assert len([meta for page in obstore.list(store, prefix="a") for meta in page]) == len(names) - 2


def test_put_if_absent(server: Server, prefix: str) -> None:
    """A conditional put of a name that is taken is refused, and leaves what was there; once it is free, it succeeds."""
    store = server.store(prefix)
    obstore.put(store, "once", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "once", b"second", mode="create")
    assert obstore.get(store, "once").bytes().to_bytes() == b"first"
    obstore.delete(store, "once")
    obstore.put(store, "once", b"third", mode="create")
    assert obstore.get(store, "once").bytes().to_bytes() == b"third"


def race(server: Server, prefix: str, racer: int, start: Any, out: Any) -> None:
    """Try to be the first at every name."""
    store = server.store(prefix)
    won = []
    for n in range(ROUNDS):
        start.wait(60)  # each round begins for all at once
        try:
            obstore.put(store, f"{n:03}", f"{racer}".encode() * 100, mode="create")
        except AlreadyExistsError:
            continue
        won.append(n)
    out.put((racer, won))


def test_put_if_absent_is_won_by_one(server: Server, prefix: str) -> None:
    """Of processes that race for a name, exactly one is told that it won, and its bytes are there."""
    start, out = SPAWN.Barrier(RACERS), SPAWN.Queue()
    processes = [SPAWN.Process(target=race, args=(server, prefix, racer, start, out)) for racer in range(RACERS)]
    for process in processes:
        process.start()
    told = [(n, racer) for racer, won in (out.get(timeout=120) for _ in processes) for n in won]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(n for n, _ in told) == list(range(ROUNDS))
    store = server.store(prefix)
    for n, racer in told:
        assert obstore.get(store, f"{n:03}").bytes().to_bytes() == f"{racer}".encode() * 100


@pytest.mark.parametrize("key", ["aws_secret_access_key", "azure_storage_account_key"])
def test_signatures_are_checked(request: pytest.FixtureRequest, prefix: str, key: str) -> None:
    """A request that is signed with another key is refused: the server sees what it is sent."""
    server = request.getfixturevalue({"aws": "seaweedfs", "azure": "azurite"}[key.partition("_")[0]])
    other = base64.b64encode(secrets.token_bytes(len(base64.b64decode(server.keys[key])))).decode()
    stranger = replace(server, keys={**server.keys, key: other}).store(prefix, retry_config={"max_retries": 0})
    with pytest.raises(BaseError):
        obstore.put(stranger, "x", b"x")
    assert list(obstore.list(server.store(prefix))) == []
