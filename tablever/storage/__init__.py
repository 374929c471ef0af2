"""Objects under a table's place: get, list, put if absent, durable write; on a disk or in an object store.

What the rest of tablever asks of either is ``protocol.Storage``; nobody else knows which one it is.
"""

from tablever.storage.local import BUFFER_BYTES, DurableFile, LocalStorage, storage_errors, whole_file
from tablever.storage.opening import open_place, open_storage, reaching
from tablever.storage.protocol import NewObject, Place, Storage, Stored, can_be_read_whole

__all__ = [
    "BUFFER_BYTES",
    "DurableFile",
    "LocalStorage",
    "NewObject",
    "Place",
    "Storage",
    "Stored",
    "can_be_read_whole",
    "open_place",
    "open_storage",
    "reaching",
    "storage_errors",
    "whole_file",
]
