"""Which storage a path or a URI means."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tablever.errors import InvalidInputError, TableNotFoundError, UnsupportedFeatureError
from tablever.fences import allowed_here
from tablever.storage.local import LocalPlace, LocalStorage
from tablever.storage.protocol import Place, Storage

# What opens an object store is loaded for tables in one.
STORES = ("s3", "gs", "az")


def open_storage(
    uri: str | os.PathLike[str], options: Mapping[str, str] | None = None, allowed: Sequence[str] = ()
) -> Storage:
    """The storage of the table that a path or a URI names; nothing is read. Raises as ``open_place``.

    ``allowed`` are folders elsewhere, by absolute paths, whose files may be read where the table is in a folder.
    """
    return reaching(open_place(uri, options).storage(), allowed)


def reaching(storage: Storage, allowed: Sequence[str]) -> Storage:
    """A storage that reads files in some folders elsewhere, too, and those that are allowed to all tables here."""
    folders = tuple(dict.fromkeys([*allowed, *allowed_here()]))
    return replace(storage, allowed=folders) if isinstance(storage, LocalStorage) and folders else storage


def open_place(uri: str | os.PathLike[str], options: Mapping[str, str] | None = None) -> Place:
    """The folder, or the prefix in a bucket, that a path or a URI names; nothing is read.

    Raises:
        UnsupportedFeatureError: a scheme that is not known.
        TableNotFoundError: what can be no path.
        InvalidInputError: options for a folder, or such as the store does not know.
    """
    text = os.fspath(uri)
    scheme = urlsplit(text).scheme if "://" in text else ""
    if scheme in STORES:
        return _object_place(scheme, text, options)
    if scheme == "file":
        text = unquote(urlsplit(text).path)
    elif scheme:
        raise UnsupportedFeatureError(
            f"cannot open '{text}': {scheme}:// is not known",
            hint=f"a folder, file://, or {', '.join(f'{store}://' for store in STORES)}",
            feature=f"{scheme}://",
        )
    if "\0" in text or not text or not _is_path(text):
        raise TableNotFoundError(f"no table at {text!r}: that is not a path", hint=None, uri=text)
    if options:
        raise InvalidInputError(f"storage_options are for object stores: '{text}' is a folder")
    return LocalPlace(Path(text).expanduser().absolute())


def _is_path(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _object_place(scheme: str, text: str, options: Mapping[str, str] | None) -> Place:
    from tablever.storage.bucket import bucket_of
    from tablever.storage.objects import ObjectPlace

    name, _, prefix = text.removeprefix(f"{scheme}://").partition("/")
    parts = [part for part in prefix.split("/") if part]
    if any(part in (".", "..") for part in parts) or "\0" in text:
        raise TableNotFoundError(f"no table at {text!r}: that is not a URI of objects", hint=None, uri=text)
    return ObjectPlace(bucket_of(scheme, name, options), "/".join(parts))
