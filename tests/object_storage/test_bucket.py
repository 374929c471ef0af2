"""How an object store is reached, and what it must keep to; no server is asked."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import obstore
import pytest
from obstore import open_writer
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import MemoryStore

import tablever as tv
from tablever.errors import InvalidInputError, StorageError, UnsupportedFeatureError
from tablever.storage import bucket, objects, open_place, open_storage
from tablever.storage.bucket import Bucket, bucket_of

SECRETS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "s3cr3t/key", "aws_session_token": "t0ken"}


class Forgetful(MemoryStore):  # type: ignore[misc]
    """A store that ignores the condition of a put."""

    def put(self, path: str, file: Any, **_: Any) -> Any:
        return obstore.put(self, path, file)


def in_memory(monkeypatch: pytest.MonkeyPatch, store: MemoryStore) -> None:
    """Every bucket is this store."""
    monkeypatch.setattr(bucket, "_client", lambda *_: store)
    monkeypatch.setattr(objects, "_proven", set())


def test_a_store_that_ignores_conditions_gets_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a second object of one name is taken, two writers would overwrite one another: refused before a commit."""
    in_memory(monkeypatch, Forgetful())
    storage = open_storage("s3://bucket/t")
    with pytest.raises(UnsupportedFeatureError, match="ignores the condition of a put"):
        storage.put_if_absent("_delta_log/00000000000000000000.json", b"{}")
    assert storage.list("_delta_log") == []


def test_a_put_whose_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conditional put is one's own where the bytes that are there are the same, and another's where they are not."""
    in_memory(monkeypatch, MemoryStore())
    storage = open_storage("s3://bucket/t")
    assert storage.put_if_absent("x", b"mine")
    assert storage.put_if_absent("x", b"mine")
    assert not storage.put_if_absent("x", b"other")
    assert storage.get("x") == b"mine"


class Refusing(MemoryStore):  # type: ignore[misc]
    """A store to which a put of a log entry goes wrong in the ways of ``faults``, one after the other.

    Attributes:
        late: what it was not heard to take; ``arrive`` takes it.
    """

    faults: ClassVar[list[Exception]] = []
    late: ClassVar[list[tuple[str, Any]]] = []

    def put(self, path: str, file: Any, **options: Any) -> Any:
        if self.faults and path.endswith("1.json"):
            self.late.append((path, file))
            raise self.faults.pop(0)
        return obstore.put(self, path, file, **options)

    def arrive(self) -> None:
        for path, file in self.late:
            with suppress(AlreadyExistsError):
                obstore.put(self, path, file, mode="create")


DENIED = PermissionDeniedError("403 Forbidden: RequestTimeTooSkewed")
MISSING = FileNotFoundError("404 Not Found: NoSuchBucket")
LOST = GenericError("operation timed out")


@pytest.mark.parametrize(
    "faults",
    [[LOST, *[DENIED] * 9], [LOST, *[MISSING] * 9], [LOST, *[UnauthenticatedError("401")] * 9], [DENIED] * 9],
    ids=["no answer, then denied", "no answer, then no bucket", "no answer, then 401", "denied from the first"],
)
def test_a_put_that_is_refused_after_one_without_an_answer(
    monkeypatch: pytest.MonkeyPatch, faults: list[Exception]
) -> None:
    """Where a try had no answer (the client's own tries among them, which nobody sees), and the next is refused, the
    error says that nobody knows; what the entry names stays, and the put may come late.
    """
    store = Refusing()
    in_memory(monkeypatch, store)
    monkeypatch.setattr(obstore, "open_writer", lambda _, *args, **options: open_writer(store, *args, **options))
    monkeypatch.setattr(objects, "PAUSE", 0)
    monkeypatch.setattr(Refusing, "late", [])
    table = tv.create_table("s3://bucket/t", [{"id": 0}])
    monkeypatch.setattr(Refusing, "faults", list(faults))
    with pytest.raises(StorageError, match="whether version 1 of 't' was committed is not known") as caught:
        tv.append(table, [{"id": 1}])
    assert caught.value.unsure
    monkeypatch.setattr(Refusing, "faults", [])
    store.arrive()
    assert tv.verify("s3://bucket/t").damaged == ()
    assert tv.resolve_version("s3://bucket/t").rows == 2


def test_a_put_that_is_refused_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that passes, as of a clock that is set right, is no error: the put is tried again."""
    in_memory(monkeypatch, Refusing())
    monkeypatch.setattr(objects, "PAUSE", 0)
    monkeypatch.setattr(Refusing, "faults", [LOST, DENIED])
    storage = open_storage("s3://bucket/t")
    assert storage.put_if_absent("1.json", b"mine")
    assert storage.get("1.json") == b"mine"


def test_what_a_storage_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings, sizes, ranges and fingerprints are those of files: nothing deeper, nothing of inner tables."""
    in_memory(monkeypatch, MemoryStore())
    storage = open_storage("gs://bucket/a/t")
    for path in ("_delta_log/1.json", "_delta_log/2.json", "_delta_log/_sidecars/s", "p=a b/x%y", "in/_delta_log/0"):
        storage.put(path, path.encode())
    storage.put("in/y", b"")
    assert storage.list("_delta_log") == ["1.json", "2.json"]
    assert storage.list("_delta_log", "2.json") == ["2.json"]
    assert storage.list("nothing") == []
    assert sorted(each.path for each in storage.walk()) == [
        "_delta_log/1.json",
        "_delta_log/2.json",
        "_delta_log/_sidecars/s",
        "p=a b/x%y",
    ]
    assert storage.sizes(["in/y", "nothing", "p=a b/x%y"]) == [0, None, 9]
    assert storage.sizes(["nothing"] * 200 + ["in/y"]) == [*[None] * 200, 0]
    assert storage.get_range("p=a b/x%y", 2, 4) == b"a b/"
    assert storage.get_range("p=a b/x%y", 50, 4) == b""
    assert storage.get_range("in/y", 0, 4) == b""
    assert list(storage.get_starts(["in/y", "p=a b/x%y", "_delta_log/1.json"], 3)) == [b"", b"p=a", b"_de"]
    assert b"".join(storage.pieces("p=a b/x%y", 3)) == b"p=a b/x%y"
    assert list(storage.get_many(["in/y", "p=a b/x%y"])) == [b"", b"p=a b/x%y"]
    there = storage.successive(iter(["_delta_log/1.json", "_delta_log/2.json", "_delta_log/3.json"]))
    assert there == [storage.fingerprint("_delta_log/1.json"), storage.fingerprint("_delta_log/2.json")]
    assert storage.fingerprint("nothing") is None
    with storage.open("p=a b/x%y") as file:
        assert (file.read(1), file.seek(-2, 2), file.read()) == (b"p", 7, b"%y")
    with pytest.raises(FileNotFoundError):
        storage.get("nothing")
    storage.remove("in/y")
    storage.remove("in/y")
    assert not storage.exists("in/y")


def test_a_block_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object is there when its block ends, counted and hashed; one whose block fails is not, however large."""
    in_memory(monkeypatch, MemoryStore())
    storage = open_storage("az://bucket/t")
    with storage.create("x") as file:
        assert file.write(b"ab") + file.write(b"c") == file.tell() == 3
    assert storage.get("x") == b"abc"
    assert (file.size, file.sha256, file.closed) == (3, storage.sha256("x"), True)
    with pytest.raises(TypeError), storage.create("y") as file:
        file.write(bytes(20_000_000)) and file.write("no bytes")  # type: ignore[arg-type]
    assert not storage.exists("y")


def test_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes in a bucket are folders: what is in them, what is around them, which are tables."""
    in_memory(monkeypatch, MemoryStore())
    storage = open_storage("s3://bucket/a/t")
    storage.put("_delta_log/0", b"")
    place = open_place("s3://bucket/a//")
    assert (place.uri, place.name, place.kind(), place.is_table()) == ("s3://bucket/a", "a", "folder", False)
    assert [(each.name, each.is_table()) for each in place.folders()] == [("t", True)]
    assert [each.uri for each in place.child("t").parents()] == ["s3://bucket/a", "s3://bucket"]
    assert open_place("s3://bucket/b").kind() is None
    assert open_place("s3://bucket").name == "bucket"


def test_secrets_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What options and the environment keep secret stands in no message and no repr, nor do the queries of URLs."""
    monkeypatch.setenv("AZURE_STORAGE_SAS_KEY", "sv=2024&sig=fromtheenvironment")
    found = bucket_of("s3", "data", SECRETS | {"aws_region": "eu-central-1"})
    said = (
        f"PUT https://h/p?X-Amz-Signature=abc of AKIAEXAMPLE with s3cr3t/key, sv=2024&sig=fromtheenvironment; {found}"
    )
    error = found.failed("write 'x'", OSError(said))
    shown = f"{error} {error.facts} {found!r} {open_storage('s3://data/t', SECRETS)!r}"
    for secret in (*SECRETS.values(), "fromtheenvironment", "abc"):
        assert secret not in shown
    assert found.redacted("eu-central-1 <?xml version='1'?>") == "eu-central-1 <?xml version='1'?>"


@pytest.mark.parametrize(
    ("uri", "options", "said"),
    [
        ("s3://key:secret@bucket/t", {}, "credentials go into storage_options"),
        ("s3:///t", {}, "begins with s3://BUCKET/"),
        ("s3://bucket/t", {"no_such_option": "x"}, "no_such_option"),
        ("s3://bucket/t", {"aws_region": 3}, "texts by name"),
        ("s3://bucket/t", {"max_retries": "many"}, "max_retries"),
        ("s3://bucket/t", {"retry_timeout": "long"}, "retry_timeout"),
        ("folder", {"aws_region": "x"}, "storage_options are for object stores"),
    ],
    ids=str,
)
def test_options_that_make_no_sense(uri: str, options: Any, said: str) -> None:
    """Options that cannot be meant so are refused before anything is asked of anybody."""
    with pytest.raises(InvalidInputError) as caught:
        tv.open_table(uri, storage_options=options)
    assert said in f"{caught.value} {caught.value.hint}"


def test_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile of the AWS tools gives keys and region, to every engine; keys that are given come first."""
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = w0rk\n")
    (tmp_path / "config").write_text("[profile work]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    found = Bucket("s3", "data", (("aws_profile", "work"),))
    keys = {"aws_access_key_id": "AKIAWORK", "aws_secret_access_key": "w0rk", "aws_region": "eu-west-3"}
    assert found.shared_options == keys
    assert found.client is not None
    assert open_storage("s3://data/t", {"aws_profile": "work"}).polars_options()["storage_options"] == keys
    assert Bucket("s3", "data", tuple(sorted(SECRETS.items()))).shared_options == SECRETS
    with pytest.raises(InvalidInputError, match="profile 'nobody'"):
        tv.open_table("s3://data/t", storage_options={"aws_profile": "nobody"})


def test_a_profile_without_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile that says how keys are had elsewhere is refused, with what to do."""
    (tmp_path / "config").write_text("[profile sso]\nsso_session = corp\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "sso")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(InvalidInputError, match="has no keys, but region, sso_session") as caught:
        tv.open_table("s3://data/t")
    assert "export-credentials" in str(caught.value.hint)


def test_an_unreachable_store() -> None:
    """A store that does not answer is a StorageError that says what was being done."""
    options = SECRETS | {"aws_endpoint": "http://127.0.0.1:1", "allow_http": "true", "max_retries": "0"}
    with pytest.raises(StorageError, match="cannot list 's3://data/t/_delta_log'") as caught:
        tv.open_table("s3://data/t", storage_options=options)
    assert caught.value.__cause__ is None
