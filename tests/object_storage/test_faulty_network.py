"""The proxy does to a client what it says, no more and no less: tests of faults are worth what their faults are."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from tests.object_storage.faults import KINDS, Fault, FaultyNetwork, Kind, asked
from tests.object_storage.servers import Server

RETRY: dict[str, Any] = {
    "backoff": {"init_backoff": timedelta(milliseconds=10)},
    "retry_timeout": timedelta(seconds=10),
}
DONE: set[Kind] = {"latency", "cut", "answer lost", "answer wrong"}


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def direct(seaweedfs: Server, prefix: str) -> ObjectStore:
    """The store without a network in between."""
    return seaweedfs.store(prefix)


@pytest.fixture
def once(seaweedfs: Server, network: FaultyNetwork, prefix: str) -> ObjectStore:
    """A client through the network that never tries again."""
    return seaweedfs.through(network.address).store(prefix, retry_config={"max_retries": 0})


@pytest.fixture
def again(seaweedfs: Server, network: FaultyNetwork, prefix: str) -> ObjectStore:
    """A client through the network that tries again."""
    return seaweedfs.through(network.address).store(prefix, retry_config=RETRY)


def test_a_sound_network_changes_nothing(network: FaultyNetwork, once: ObjectStore, direct: ObjectStore) -> None:
    """Without faults every request goes through as it came, and is counted by method and kind of object."""
    big = bytes(range(256)) * 40_000
    with network.counted() as asked_for:
        obstore.put(once, "_delta_log/00000000000000000007.json", b"{}", mode="create")
        obstore.put(once, "part-1.zstd.parquet", big, use_multipart=False)
        assert obstore.get(once, "part-1.zstd.parquet").bytes().to_bytes() == big
        assert obstore.get_range(once, "part-1.zstd.parquet", start=256, length=3).to_bytes() == b"\0\1\2"
        assert obstore.head(once, "part-1.zstd.parquet")["size"] == len(big)
        assert len(next(iter(obstore.list(once, prefix="_delta_log")))) == 1
        obstore.delete(once, ["part-1.zstd.parquet"])
    assert asked_for == {
        "PUT log entry": 1, "PUT rows": 1, "GET rows": 2, "HEAD rows": 1, "LIST log": 1, "DELETE other": 1,
    }  # fmt: skip
    assert not network.injected
    assert len(next(iter(obstore.list(direct)))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_put_under_each_fault(network: FaultyNetwork, once: ObjectStore, direct: ObjectStore, kind: Kind) -> None:
    """A put that fails was done, or was not, as the fault says; the next request is answered."""
    network.inject(Fault(kind, asked("PUT rows"), seconds=0.3))
    start = time.monotonic()
    if kind == "latency" or kind == "cut":  # the answer to a put has no body to be cut
        obstore.put(once, "a.parquet", b"x", mode="create")
    else:
        with pytest.raises(BaseError):
            obstore.put(once, "a.parquet", b"x", mode="create")
    if kind in ("latency", "timeout"):
        assert time.monotonic() - start >= 0.3
    assert network.injected == {(kind, "PUT rows"): 1}
    if kind in DONE:
        assert obstore.get(direct, "a.parquet").bytes().to_bytes() == b"x"
    else:
        with pytest.raises(FileNotFoundError):
            obstore.get(direct, "a.parquet")
    if kind == "late":
        network.heal()
        assert obstore.get(direct, "a.parquet").bytes().to_bytes() == b"x"
    obstore.put(once, "b.parquet", b"y", mode="create")
    assert obstore.get(direct, "b.parquet").bytes().to_bytes() == b"y"


@pytest.mark.parametrize("kind", KINDS)
def test_a_get_under_each_fault(network: FaultyNetwork, again: ObjectStore, direct: ObjectStore, kind: Kind) -> None:
    """A client that tries again reads what is there, or fails: never half of it."""
    data = bytes(range(256)) * 1000
    obstore.put(direct, "a.parquet", data)
    network.inject(Fault(kind, asked("GET rows"), seconds=0.1))
    try:
        found = obstore.get(again, "a.parquet").bytes().to_bytes()
    except BaseError:
        assert kind in ("conflict", "denied"), "409 is no answer to a get, and neither is a reason to try again"
    else:
        assert found == data
    assert network.injected.total() == 1


def test_a_client_that_tries_again_meets_its_own_work(
    network: FaultyNetwork, again: ObjectStore, direct: ObjectStore
) -> None:
    """The classic: the put was done, its answer was 500, the client's second try says that the name is taken."""
    network.inject(Fault("answer wrong", asked("PUT log entry")))
    with pytest.raises(AlreadyExistsError):
        obstore.put(again, "_delta_log/00000000000000000001.json", b"mine", mode="create")
    assert obstore.get(direct, "_delta_log/00000000000000000001.json").bytes().to_bytes() == b"mine"


def test_chance_decides(network: FaultyNetwork, again: ObjectStore) -> None:
    """A rule given for all requests is asked about each, until the network heals."""
    seen = []
    network.decide(lambda request: seen.append(str(request)))
    obstore.put(again, "_tablever/tags/a.json", b"x")
    network.heal()
    obstore.put(again, "_tablever/tags/b.json", b"x")
    assert seen == ["PUT witness"]
