"""A checkpoint file, as JSON where it begins with a brace and as Parquet else."""

from __future__ import annotations

from tablever.delta.checkpoint import parse_part, sidecars_of, to_state
from tablever.errors import TableverError


def run(data: bytes) -> None:
    """One input."""
    name = "00000000000000000003.checkpoint." + ("json" if data[:1] == b"{" else "parquet")
    try:
        part = parse_part(data, name=name)
        sidecars_of([part], name=name)
        to_state([part], name=name)
    except TableverError:
        return
