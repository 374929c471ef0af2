"""What an object being written is on every storage: its bytes counted and hashed, as pyarrow asks of a file."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod


class CountedWriter(ABC):
    """Counts and hashes what is written; where the bytes go, and what the end of the ``with`` block does, is another's.

    Attributes:
        size: bytes written so far.
        closed: whether the block has ended.
    """

    def __init__(self) -> None:
        self.size = 0
        self.closed = False
        self._hash = hashlib.sha256()

    @abstractmethod
    def _send(self, data: bytes) -> None:
        """Hand all of some bytes on; what refuses them raises StorageError."""

    def write(self, data: bytes) -> int:
        """Write all of some bytes; their number."""
        self._send(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size

    def flush(self) -> None:  # noqa: B027 - what pyarrow calls, and no storage needs
        """Nothing to do: the end of the ``with`` block is what counts."""

    def close(self) -> None:  # noqa: B027
        """Nothing to do either."""

    def writable(self) -> bool:
        """True: what pyarrow asks of a file."""
        return True

    @property
    def sha256(self) -> str:
        """Of the bytes written so far, in hex."""
        return self._hash.hexdigest()
