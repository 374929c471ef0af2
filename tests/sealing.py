"""Log entries changed on purpose: a digest that one holds of itself fits its bytes afterwards."""

from __future__ import annotations

from pathlib import Path

from tablever.delta import seals


def rewrite(entry: Path, text: str) -> None:
    """Give an entry another text; one of ours is sealed, as its writer would have sealed it."""
    data = text.encode()
    held = seals.recorded(data)
    entry.write_bytes(data if held is None else seals.seal(data.replace(held.encode(), seals.UNSEALED.encode(), 1)))
