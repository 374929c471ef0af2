"""Apache Spark with Delta Lake, in a JVM that lives as long as it is used and is fed SQL.

The jars come from Maven, as ``pom.xml`` has them, into Maven's own repository; the class path is kept in the cache.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.engines import cache
from tests.engines.child import Absent, Child

HERE = Path(__file__).parent
# Spark on Java 17 needs doors opened that its own launcher opens.
OPENED = (
    "lang",
    "lang.invoke",
    "lang.reflect",
    "io",
    "net",
    "nio",
    "util",
    "util.concurrent",
    "util.concurrent.atomic",
)
INTERNAL = ("sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar")


def class_path() -> str:
    """The jars that ``pom.xml`` asks for, fetched where they are not here yet.

    Raises:
        Absent: there is no Java or Maven, or Maven cannot fetch them.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise Absent(f"there is no {tool}")
    digest = hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()[:12]
    kept = cache.folder() / f"spark-{digest}.classpath"
    if kept.is_file() and all(Path(jar).is_file() for jar in kept.read_text().split(os.pathsep)):
        return kept.read_text()
    fresh = kept.with_suffix(f".{os.getpid()}")
    command = [
        "mvn",
        "-B",
        "-q",
        "-f",
        str(HERE / "pom.xml"),
        "dependency:build-classpath",
        f"-Dmdep.outputFile={fresh}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired as error:
        raise Absent("Maven did not fetch the jars in 10 minutes") from error
    if done.returncode:
        raise Absent(f"Maven cannot fetch the jars: {(done.stdout + done.stderr).strip()[:500]}")
    fresh.replace(kept)
    return kept.read_text()


class Spark(Child):
    """A Spark session; ``hello`` names its versions."""

    def __init__(self, scratch: Path) -> None:
        """Start the JVM; what it writes of itself goes below ``scratch``."""
        jars = class_path()
        doors = [f"java.base/java.{name}" for name in OPENED] + [f"java.base/{name}" for name in INTERNAL]
        self._scratch, self._results = scratch, itertools.count()
        scratch.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [
                "java", "-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC",
                f"-Djava.io.tmpdir={scratch}", *itertools.chain(*(["--add-opens", f"{d}=ALL-UNNAMED"] for d in doors)),
                "-cp", jars, str(HERE / "Statements.java"), str(scratch),
            ],
            log=scratch / "spark.log",
        )  # fmt: skip

    def run(self, *statements: str) -> None:
        """Carry out statements.

        Raises:
            EngineError: what Spark said.
        """
        for sql in statements:
            self.ask(sql=sql, into=None)

    def build(self, table: Path, columns: Sequence[tuple[str, str, str | None]]) -> None:
        """Make an empty table of columns, each with its name, its type, and what it is generated as: "IDENTITY", an
        expression, or nothing. Spark's SQL has no words for these.

        Raises:
            EngineError: what Spark said.
        """
        self.ask(build=str(table), columns=columns)

    def rows(self, sql: str) -> pa.Table:
        """What a query gives."""
        into = self._scratch / f"result-{next(self._results)}"
        self.ask(sql=sql, into=str(into))
        files = sorted(into.glob("*.parquet"))
        tables = [pq.ParquetFile(file).read() for file in files]
        shutil.rmtree(into)
        return pa.concat_tables(tables)

    def read(self, table: Path, number: int) -> pa.Table:
        """A version of a table."""
        return self.rows(f"SELECT * FROM delta.`{table}` VERSION AS OF {number}")

    def changes(self, table: Path, first: int, last: int) -> pa.Table:
        """The change rows of the versions from ``first`` to ``last``, both included."""
        return self.rows(f"SELECT * FROM table_changes_by_path('{table}', {first}, {last})")
