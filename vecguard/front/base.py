"""What a front is: one wire protocol's table of RPCs, and where it keeps a collection's manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from vecguard.catalog import StoredManifest
from vecguard.pipeline import AnyRoute
from vecguard.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Front:
    """One wire protocol."""

    name: str
    routes: Mapping[str, AnyRoute]
    read_manifest: Callable[[Upstream, str, float | None], Awaitable[StoredManifest | None]]
    real_name: Callable[[Upstream, str, float | None], Awaitable[str]]
