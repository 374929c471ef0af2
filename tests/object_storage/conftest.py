"""The object stores, each started once a process and only where a test asks for it; skipped where it cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.engines import cache
from tests.object_storage import servers
from tests.object_storage.faults import FaultyNetwork
from tests.object_storage.servers import Server, Unavailable

Start = Callable[[], AbstractContextManager[Server]]


@contextmanager
def started_or_skipped(name: str, start: Start) -> Iterator[Server]:
    """A server for the rest of the session, or the reason why there is none."""
    try:
        with start() as server:
            yield server
    except Unavailable as error:
        cache.skip(name, error)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server."""
    with started_or_skipped("seaweedfs", lambda: servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs"))) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An Azure server."""
    with started_or_skipped("azurite", lambda: servers.azurite(tmp_path_factory.mktemp("azurite"))) as server:
        yield server


@pytest.fixture(params=["seaweedfs", "azurite"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each object store that is to be had."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def network(seaweedfs: Server) -> Iterator[FaultyNetwork]:
    """A network to the S3 server that fails on demand."""
    with FaultyNetwork(seaweedfs.address) as faulty:
        yield faulty
