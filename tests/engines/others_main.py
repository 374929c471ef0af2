"""What runs in the environment of others.py: requests in, tables out as Arrow files. It knows nothing of tablever."""

import json
import os
import sys
from importlib.metadata import version

import pyarrow as pa


def by_duckdb(table: str, number: int) -> pa.Table:
    """A version, by DuckDB's delta extension."""
    import duckdb
    import duckdb_ext

    connection = duckdb.connect(config={"extension_directory": f"{next(iter(duckdb_ext.__path__))}/extensions"})
    connection.execute("LOAD delta")
    connection.execute("SET timezone = 'UTC'")
    quoted = table.replace("'", "''")
    connection.execute(f"ATTACH 'file://{quoted}' AS t (TYPE delta, VERSION {number})")
    return connection.execute("FROM t").fetch_arrow_table()


def by_kernel(table: str, _: int) -> pa.Table:
    """The latest version, by delta-kernel-rs."""
    import delta_kernel_rust_sharing_wrapper as kernel

    interface = kernel.PythonInterface(f"file://{table}")
    snapshot = kernel.Table(f"file://{table}").snapshot(interface)
    found = kernel.ScanBuilder(snapshot).build().execute(interface)
    return found.read_all() if hasattr(found, "read_all") else pa.Table.from_batches(found, found.schema)


READERS = {"duckdb": by_duckdb, "kernel": by_kernel}


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    names = ("duckdb", "duckdb-ext-delta", "delta-kernel-rust-sharing-wrapper")
    print(json.dumps({name: version(name) for name in names}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            found = READERS[request["reader"]](request["table"], request["version"])
            with pa.OSFile(request["into"], "wb") as file, pa.ipc.new_file(file, found.schema) as writer:
                writer.write_table(found)
            answer = {}
        except BaseException as error:  # noqa: BLE001 - a reader's panic is an answer too
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
