"""A deletion vector: the blob of a bitmap, and the text of an inline one. What decodes, encodes to the same rows."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tablever.delta import roaring, vectors
from tablever.errors import TableverError
from tablever.model import DeletionVector
from tablever.storage import LocalStorage

NOWHERE = LocalStorage(Path("/nowhere"))


def run(data: bytes) -> None:
    """One input."""
    with suppress(TableverError):
        vectors.load(NOWHERE, DeletionVector("i", data.decode("latin-1"), len(data) * 4 // 5, data[0] if data else 0))
    try:
        bitmap = vectors.decode(vectors.MAGIC + data)
    except TableverError:
        return
    assert len(bitmap) == roaring.cardinality(data)
    if len(bitmap) < 1_000_000:
        assert vectors.decode(vectors.encode(bitmap)) == bitmap
