"""Log entries changed on purpose: the digest that an entry holds of itself fits its bytes afterwards."""

from __future__ import annotations

from pathlib import Path

from tablever.delta import seals


def rewrite(entry: Path, text: str) -> None:
    """Give an entry of ours another text, sealed as a writer would have sealed it."""
    data = text.encode()
    held = seals.recorded(data)
    assert held is not None, "no entry of ours begins so"
    entry.write_bytes(seals.seal(data.replace(held.encode(), seals.UNSEALED.encode(), 1)))
