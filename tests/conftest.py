"""What every test shares: how hard Hypothesis tries, and an author and a home that do not depend on the machine.

``HYPOTHESIS_PROFILE=quick|default|thorough`` chooses the effort. Deadlines are off: a busy machine is not a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.engines.spark import Spark

settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    print_blob=True,
    derandomize="CI" in os.environ,  # a submission is judged by what it changed; chance looks on at people's machines
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("quick", settings.get_profile("default"), max_examples=10)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True, scope="session")
def _plain_surroundings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that the developer's machine is set to (git author, colours, width) reaches a test."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text("[user]\n\tname = Test Author\n\temail = author@example.org\n")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"):
        os.environ.pop(name, None)
    os.environ["GIT_CONFIG_GLOBAL"] = str(home / ".gitconfig")
    os.environ["GIT_CONFIG_SYSTEM"] = os.devnull


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """Apache Spark, in one JVM for all tests that are of the group ``spark``."""
    from tests.engines import cache
    from tests.engines.child import Absent
    from tests.engines.spark import Spark

    try:
        session = Spark(tmp_path_factory.mktemp("spark"))
    except Absent as reason:
        cache.skip("spark", reason)
        raise
    with session:
        yield session


@pytest.fixture(scope="session")
def made(spark: Spark, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The table of a kind that Spark makes, made when it is first asked for; it is read, not written to."""
    from tests.spark_tables import MADE, make

    there: dict[str, Path] = {}

    def table(kind: str) -> Path:
        if kind not in there:
            path = tmp_path_factory.mktemp("made") / "t"
            make(spark, path, MADE[kind])
            there[kind] = path
        return there[kind]

    return table
