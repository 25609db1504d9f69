"""Binding an engine's gRPC server to the address that it was given."""

from __future__ import annotations

import os

import grpc

from vecguard.errors import ConfigError


def bind(server: grpc.Server | grpc.aio.Server, address: str) -> str:
    """Listen at `address`, `unix:/path` or `host:port`; returns the target under which clients reach it.

    Raises:
        ConfigError: it cannot be listened on.
    """
    # A socket file is made with the permissions that the mask leaves: for this user alone.
    mask = os.umask(0o077)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as failure:
        raise ConfigError(f"cannot listen on {address}: {failure}") from failure
    finally:
        os.umask(mask)
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
