"""Where tests put tables in an object store, and how a user says how it is reached."""

from __future__ import annotations

import uuid

from tests.object_storage.servers import Server

CLOUDS = {"s3": "AWS", "az": "AZURE", "gs": "GOOGLE"}


def place(server: Server, name: str = "reviews") -> str:
    """A URI that no other test uses."""
    return server.uri(f"{uuid.uuid4().hex}/{name}")


def quick(server: Server) -> dict[str, str]:
    """The server's options, with little patience."""
    return server.storage_options | {"max_retries": "2", "retry_timeout": "5s"}


def environment(server: Server) -> dict[str, str]:
    """The server's options as a user's environment has them."""
    cloud, options = CLOUDS[server.scheme], server.storage_options
    named = {name if name.startswith(cloud.lower()) else f"{cloud}_{name}": value for name, value in options.items()}
    return {name.upper(): value for name, value in named.items()}
