"""What a front is: one wire protocol's table of RPCs, how it fails, and where it keeps a collection's manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from vecguard.catalog import StoredManifest
from vecguard.model import Caller
from vecguard.pipeline import AnyRoute, Failed, by_status
from vecguard.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Front:
    """One wire protocol.

    `failed` makes the reply that tells of an error where the protocol has them in its replies; `passed_metadata` are
    the keys of a client's metadata that go on to the database, which may know the client by them.
    """

    name: str
    routes: Mapping[str, AnyRoute]
    read_manifest: Callable[[Upstream, str, Caller], Awaitable[StoredManifest | None]]
    real_name: Callable[[Upstream, str, Caller], Awaitable[str]]
    failed: Failed = by_status
    passed_metadata: frozenset[str] = frozenset()
