"""A storage that refuses, or carries a call out and loses the answer, at any call of any operation."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tablever import errors
from tablever.log import Log
from tablever.storage import LocalStorage
from tests.faults import OPERATIONS, Answer, Bench

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
TRIED = 1  # place of each operation, else


@dataclass(eq=False)
class Refusing:
    """A table's storage, but for one of its calls, which fails: before it does anything, or after it did everything."""

    storage: Any
    fail_at: int = 0
    answer_lost: bool = False
    calls: int = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.storage, name)
        return self._counted(name, found) if callable(found) else found

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls != self.fail_at:
                return call(*arguments, **options)
            if self.answer_lost:
                call(*arguments, **options)
            raise errors.StorageError(f"cannot {name}: refused on purpose")

        return counted


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize("answer_lost", [False, True])
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "create"])
def test_a_storage_that_fails_at_any_call(bench: Bench, operation: str, answer_lost: bool) -> None:
    """An error of ours or none; the old state or the new one; what was said to be done is; the next commit works."""
    path = bench.fresh(operation, "merge-on-read")
    counting = Refusing(LocalStorage(path))
    OPERATIONS[operation](Log(counting))  # type: ignore[arg-type]
    places = range(1, counting.calls + 1)
    assert len(places) >= 5, "the operation went past the storage"
    bench.clear(path)
    chosen = places if THOROUGH else random.Random(operation).sample(places, TRIED)
    for fail_at in chosen:
        path = bench.fresh(operation, "merge-on-read")
        assert tried(operation, path, fail_at, answer_lost, bench), fail_at
        bench.clear(path)


def tried(operation: str, path: Path, fail_at: int, answer_lost: bool, bench: Bench) -> str:
    """How the table stands after an operation whose storage failed."""
    answer = Answer(killed=False)
    try:
        OPERATIONS[operation](Log(Refusing(LocalStorage(path), fail_at, answer_lost)))  # type: ignore[arg-type]
    except errors.TableverError as error:
        answer = Answer(killed=False, error=type(error).__name__, ours=True, message=str(error))
    return bench.check(operation, "merge-on-read", path, answer)
