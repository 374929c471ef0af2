"""Any sequence of operations on a table in a bucket, against the model: the state machine of the store, elsewhere."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.object_storage.servers import Server
from tests.test_state_machine import Store, machine


class StoreInBucket(Store):
    """The same table and model, with the table in a bucket; the environment says how to reach it."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        shutil.rmtree(self.folder)
        self.path = self.server.uri(f"{uuid.uuid4().hex}/t")


@pytest.fixture(scope="module", autouse=True)
def _reached(seaweedfs: Server) -> Iterator[None]:
    """The store's address and keys are in the environment."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in seaweedfs.storage_options.items():
            environment.setenv(name.upper(), value)
        StoreInBucket.server = seaweedfs
        yield


TestKeyedInBucket = machine(StoreInBucket, keyed=True, partitioned=False, steps=6)
TestKeylessPartitionedInBucket = machine(StoreInBucket, keyed=False, partitioned=True, steps=6)
for each in (TestKeyedInBucket, TestKeylessPartitionedInBucket):
    each.settings = settings(each.settings, max_examples=3)
