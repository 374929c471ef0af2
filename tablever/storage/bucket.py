"""A bucket of an object store, and how to reach it: which client, which options, what its errors mean.

Options have the names that object_store, Polars and deltalake share, and may come from the environment. What they hold
is secret: no message, repr or log of ours repeats it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablever.errors import InvalidInputError, StorageError, TableverError

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    Client = S3Store | GCSStore | AzureStore

RETRIES = ("max_retries", "retry_timeout")
PROFILE = "aws_profile"
_SECRET_NAME = re.compile("KEY|SECRET|TOKEN|SAS|PASSWORD|CREDENTIAL|SIGNATURE", re.IGNORECASE)
_ENVIRONMENT = re.compile("AWS_|AZURE_|GOOGLE_")
_QUERY = re.compile(r"(\w+://[^\s?]*)\?[^\s'\")]+")
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_KEYS = frozenset(["aws_access_key_id", "access_key_id", "aws_skip_signature", "skip_signature"])
_KEPT = frozenset(["aws_access_key_id", "aws_secret_access_key"])
# Where the AWS tools keep profiles, what is said later before what is said earlier: variable, usual place, section.
_PROFILES = (
    ("AWS_CONFIG_FILE", "~/.aws/config", "profile {}"),
    ("AWS_CONFIG_FILE", "~/.aws/config", "{}"),
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", "{}"),
)
HIDDEN = "***"
MOST_WORDS = 600


@dataclass(frozen=True, repr=False)
class Bucket:
    """A bucket, and the options to reach it, lower-case names first."""

    scheme: str
    name: str
    options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Bucket('{self.uri}')"

    @property
    def uri(self) -> str:
        """``s3://name``, without a slash at its end."""
        return f"{self.scheme}://{self.name}"

    @property
    def client(self) -> Client:
        """Its client, shared by all that reach it so, in the same environment."""
        return _client(self, tuple(sorted(_surroundings().items())))

    @property
    def shared_options(self) -> dict[str, str]:
        """What each library is told: the options, and where they name a profile, its keys and region."""
        return _profile(self) | {name: value for name, value in self.options if name != PROFILE}

    def redacted(self, text: str) -> str:
        """A text without what the options and the environment keep secret, and without the queries of URLs."""
        for secret in sorted(_secrets(self.shared_options), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return _QUERY.sub(rf"\1?{HIDDEN}", text)

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn what the store refuses into a StorageError that says what was being done.

        FileNotFoundError passes; what carries a secret does not, not even as a cause.
        """
        from obstore.exceptions import BaseError

        try:
            yield
        except (FileNotFoundError, TableverError):
            raise
        except (BaseError, OSError, ValueError) as error:
            raise self.failed(doing, error) from None

    def reason(self, error: BaseException) -> str:
        """What a client said, on one line and no longer than one reads."""
        text = self.redacted(" ".join(str(error).partition("Debug source")[0].split()))
        return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}…"

    def failed(self, doing: str, error: Exception, **facts: Any) -> StorageError:
        """The error of ours for one of the client's."""
        reason = self.reason(error)
        kind = type(error).__name__
        hint = None
        if kind in ("PermissionDeniedError", "UnauthenticatedError"):
            hint = "check the credentials: storage_options, or the environment"
        elif kind == "GenericError":
            hint = "check the endpoint and the credentials, and run it again"
            if "builder error" in reason:
                hint = "an endpoint without TLS (http://) needs allow_http=true, in the environment AWS_ALLOW_HTTP"
        return StorageError(f"cannot {doing}: {reason}", hint=hint, reason=reason, **facts)


def bucket_of(scheme: str, name: str, options: Mapping[str, str] | None) -> Bucket:
    """The bucket of a name. Raises InvalidInputError for options that are no texts, and credentials in the name."""
    if not name or "@" in name or ":" in name:
        raise InvalidInputError(
            f"a URI of an object store begins with {scheme}://BUCKET/", hint="credentials go into storage_options"
        )
    named = {}
    for key, value in (options or {}).items():
        if not isinstance(value, str):
            raise InvalidInputError(
                f"storage_options are texts by name; {key!r} has a {type(value).__name__}",
                hint="{'aws_region': 'eu-central-1', 'allow_http': 'true'}",
            )
        named[key.lower()] = value
    return Bucket(scheme, name, tuple(sorted(named.items())))


@lru_cache(maxsize=32)
def _client(bucket: Bucket, environment: tuple[tuple[str, str], ...]) -> Client:  # noqa: ARG001 - obstore reads it
    import obstore.store
    from obstore.exceptions import BaseError

    options = bucket.shared_options
    settings: dict[str, Any] = {
        "retry_config": retries(options),
        "config": {name: value for name, value in options.items() if name not in RETRIES},
    }
    kinds: dict[str, Any] = {
        "s3": obstore.store.S3Store,
        "gs": obstore.store.GCSStore,
        "az": obstore.store.AzureStore,
    }
    try:
        client: Client = kinds[bucket.scheme](bucket.name, **settings)
    except (BaseError, ValueError, TypeError, OSError) as error:
        raise InvalidInputError(
            f"cannot reach '{bucket.uri}' so: {bucket.reason(error)}",
            hint="docs/reference/object-storage.md lists the options",
        ) from None
    return client


def _profile(bucket: Bucket) -> dict[str, str]:
    """The keys and the region of a profile of the AWS tools; none where none is named, or keys are given.

    Raises InvalidInputError: there is no such profile, or it says how keys are to be had elsewhere.
    """
    options = dict(bucket.options)
    name = options.get(PROFILE) or ("" if "AWS_ACCESS_KEY_ID" in os.environ else os.environ.get("AWS_PROFILE"))
    if bucket.scheme != "s3" or not name or _KEYS & options.keys():
        return {}
    found: dict[str, str] = {}
    for variable, usual, section in _PROFILES:
        file = Path(os.environ.get(variable, usual)).expanduser()
        parser = RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (ConfigParserError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"'{file}' cannot be read: it is damaged", hint=None) from error
        found |= dict(parser[section.format(name)]) if parser.has_section(section.format(name)) else {}
    if not found.keys() >= _KEPT:
        there = f"has no keys, but {', '.join(sorted(found))}" if found else "is not there"
        raise InvalidInputError(
            f"profile '{name}' of the AWS tools {there}",
            hint="aws configure export-credentials --format env turns a profile into environment variables",
            profile=name,
        )
    kept = {key: found[key] for key in (*_KEPT, "aws_session_token") if key in found}
    return kept | ({"aws_region": found["region"]} if "region" in found else {})


def retries(options: Mapping[str, str]) -> dict[str, Any] | None:
    """How often a request is tried again, and for how long: what the options say, or None for obstore's own rule."""
    found: dict[str, Any] = {}
    if "max_retries" in options:
        if not options["max_retries"].isdecimal():
            raise InvalidInputError(f"max_retries must be a number, not {options['max_retries']!r}")
        found["max_retries"] = int(options["max_retries"])
    if "retry_timeout" in options:
        found["retry_timeout"] = timedelta(seconds=seconds(options["retry_timeout"], "retry_timeout"))
    return found or None


def seconds(text: str, what: str) -> float:
    """``30s``, ``500ms``, ``3m`` or ``30`` in seconds. Raises InvalidInputError."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InvalidInputError(f"{what} must be a span of time, not {text!r}", hint="'30s', '500ms', '3m'")
    return float(found[1]) * _SECONDS[found[2]]


def _surroundings() -> dict[str, str]:
    """What the environment says of clouds."""
    return {name: value for name, value in os.environ.items() if _ENVIRONMENT.match(name)}


def _secrets(options: Mapping[str, str]) -> set[str]:
    given = {value for name, value in options.items() if _SECRET_NAME.search(name)}
    around = {value for name, value in _surroundings().items() if _SECRET_NAME.search(name)}
    return {secret for secret in given | around if len(secret) > 3}
