"""One Milvus server reached twice: straight, and through the proxy; what both answer to the same operation.

Each way has collections of its own on the same server, so that nothing else differs. Their names are made alike before
answers are compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
import numpy as np
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from milvus.proxies import MilvusProxy
from milvus.servers import MilvusServer

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "clear_*"
    protect: none
  - match: "kept_*"
    vectors:
      - recover: sealed
  - match: "exact_*"
    vectors:
      - transforms: [{kind: rotation}]
    payload: {default: sealed, fields: &modes {plain: plain, found: searchable, count_found: searchable, year: plain,
      plain_bool: plain, plain_int8: plain, plain_int16: plain, plain_int32: plain, plain_int64: plain,
      plain_float: plain, plain_double: plain, found_bool: searchable, found_int8: searchable,
      found_int16: searchable, found_int32: searchable, found_int64: searchable, found_float: searchable,
      found_double: searchable,
      tags: searchable, meta.kind: searchable, meta.size: plain, color: searchable, shape: plain, tenant: searchable}}
  - match: "*"
    vectors:
      - transforms: [{kind: rotation}, {kind: gaussian, ratio: 1.0}]
    payload: {default: sealed, fields: *modes}
"""
"""Modes by column name: `plain`, `plain_*` as it says; `found`, `found_*` searchable; a few by name; others sealed."""

# What 2.3.5 gives no code of its own, newer servers and the proxy call an invalid parameter, or one that is too large.
_UNCLASSIFIED = 65_535
_CLASSIFIED = {1100, 1102, _UNCLASSIFIED}

_NUMBERS = count()


@dataclass
class Side:
    """One way to the server."""

    server: MilvusServer
    client: MilvusClient
    name: str
    """The collection on this side."""


@dataclass
class Outcome:
    """What an operation came to: its value, or its error's code and text."""

    value: Any = None
    code: object = None
    text: str = ""

    @property
    def failed(self) -> bool:
        """Whether it was an error."""
        return self.code is not None


@dataclass
class Pair:
    """The same collection on both sides."""

    straight: Side
    guarded: Side
    is_real: bool
    """Whether the server is the real Milvus: its error codes are the same on both sides."""

    def same(self, operation: Callable[[Side], Any], *, rows: bool = False) -> Any:
        """Assert that the operation comes to the same on both sides; returns the value of the guarded one.

        `rows` says that the value is a list of rows without a promised order.
        """
        straight, guarded = outcome(operation, self.straight), outcome(operation, self.guarded)
        assert guarded.failed == straight.failed, (straight, guarded)
        if straight.failed:
            if self.is_real:
                accepted = _CLASSIFIED if straight.code == _UNCLASSIFIED else {straight.code}
                assert guarded.code in accepted, (straight, guarded)
            return None
        first, second = plain(straight.value), plain(guarded.value)
        if rows:
            first, second = by_key(first), by_key(second)
        assert_alike(first, second)
        return guarded.value


def outcome(operation: Callable[[Side], Any], side: Side) -> Outcome:
    """Run an operation on one side."""
    try:
        return Outcome(renamed(operation(side), side.name))
    except MilvusException as error:
        return Outcome(code=error.code, text=str(renamed(error.message, side.name)))
    except grpc.RpcError as error:
        return Outcome(code=error.code(), text=str(error.details()))


def renamed(value: Any, name: str) -> Any:
    """The value with one side's collection name, and names that begin with it, taken for another."""
    if isinstance(value, str):
        return re.sub(rf"\b{name}", "COLLECTION", value)
    if isinstance(value, Mapping):
        return {renamed(key, name): renamed(item, name) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [renamed(item, name) for item in value]
    return value


def plain(value: Any) -> Any:
    """Rows and lists of pymilvus' own kinds as dicts and lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, str | bytes | np.ndarray) or not isinstance(value, Sequence):
        return value
    return [plain(item) for item in value]


def by_key(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Rows in the order of their contents' text."""
    return sorted(rows, key=lambda row: str(row.get("id", row.get("pk", sorted(row.items(), key=str)))))


def assert_alike(first: Any, second: Any, where: str = "value") -> None:
    """Equal values of equal types; floats may differ as float32 arithmetic does."""
    if isinstance(first, float | np.floating) and isinstance(second, float | np.floating):
        assert abs(float(first) - float(second)) <= 2e-5 * (1.0 + abs(float(first))), (where, first, second)
        return
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        np.testing.assert_allclose(second, first, atol=2e-5, err_msg=where)
        return
    assert type(first) is type(second), (where, first, second)
    if isinstance(first, dict):
        assert sorted(first, key=str) == sorted(second, key=str), (where, first, second)
        for key, item in first.items():
            assert_alike(item, second[key], f"{where}[{key!r}]")
    elif isinstance(first, list):
        assert len(first) == len(second), (where, first, second)
        for i, item in enumerate(first):
            assert_alike(item, second[i], f"{where}[{i}]")
    else:
        assert first == second, (where, first, second)


def fresh_name(prefix: str = "") -> str:
    """A collection name that no other test uses."""
    return f"{prefix}c{next(_NUMBERS)}"


@contextmanager
def paired(server: MilvusServer, proxy: MilvusProxy, *, is_real: bool, prefix: str = "") -> Iterator[Pair]:
    """A new name on both sides, with a client each."""
    name = fresh_name(prefix)
    with server.client() as straight, proxy.client() as guarded:
        yield Pair(Side(server, straight, f"{name}_s"), Side(proxy, guarded, f"{name}_g"), is_real)
        for side in (straight, guarded):
            for found in side.list_collections():
                if found.startswith((f"{name}_s", f"{name}_g")):
                    side.drop_collection(found)
