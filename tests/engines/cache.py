"""Where the tests keep what they fetch from package registries: out of the repository, kept from run to run.

``TABLEVER_TESTS_CACHE`` names the folder; without it, it is the user's cache folder. ``TABLEVER_TESTS_NEED`` names the
engines (``spark``, ``readers``, ``seaweedfs``, ``azurite``) whose absence is a failure, where it would otherwise be a
reason for skipping.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# The fixture that gives tests a home of their own is not to give them a cache of their own.
CACHE = Path(
    os.environ.get("TABLEVER_TESTS_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tablever-tests"
)


def folder() -> Path:
    """The folder, made where it is not there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


def is_needed(engine: str) -> bool:
    """Whether an engine's absence is a failure."""
    return engine in os.environ.get("TABLEVER_TESTS_NEED", "").replace(",", " ").split()


def skip(engine: str, reason: Exception) -> None:
    """Skip the test, or fail it where the engine is said to be needed."""
    if is_needed(engine):
        pytest.fail(f"{engine} is needed (TABLEVER_TESTS_NEED) and not to be had: {reason}")
    pytest.skip(f"{engine} is not to be had here: {reason}")
