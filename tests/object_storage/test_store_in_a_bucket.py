"""Any sequence of operations on a table in a bucket, against the model: the state machine of the store, elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.object_storage.places import environment, place
from tests.object_storage.servers import Server
from tests.test_state_machine import Store, machine


class StoreInBucket(Store):
    """The same table and model, with the table in a bucket; the environment says how to reach it."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        shutil.rmtree(self.folder)
        self.path = place(self.server)


@pytest.fixture(scope="module", autouse=True)
def _reached(seaweedfs: Server) -> Iterator[None]:
    """The store's address and keys are in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(seaweedfs).items():
            patch.setenv(name, value)
        StoreInBucket.server = seaweedfs
        yield


PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # what fails in a folder is shrunk there, a hundred times faster


def in_bucket(*, keyed: bool, partitioned: bool) -> Any:
    """The test of the store's laws for one kind of table, with few examples: each step is some thirty requests."""
    case = machine(StoreInBucket, keyed=keyed, partitioned=partitioned, steps=6)
    case.settings = settings(case.settings, max_examples=3, phases=PHASES)
    return case


TestKeyedInBucket = in_bucket(keyed=True, partitioned=False)
TestKeylessPartitionedInBucket = in_bucket(keyed=False, partitioned=True)
