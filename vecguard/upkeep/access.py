"""A database as an operator's command reaches it: beside a running `vecguard serve`, or without one.

An embedded database has one engine process. Where a `serve` of the same user runs it, the command talks to that
engine's socket; else the command starts one, for as long as it works. Caches of a `serve` learn of what a command
changed as they do of another replica's changes (`vecguard.catalog`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import grpc

from vecguard.catalog import Catalog
from vecguard.config import Embedded, FrontName, Remote, Settings
from vecguard.errors import ConfigError, FailedPrecondition
from vecguard.fresh.guard import Guard
from vecguard.fresh.memory import Memory
from vecguard.generation import Generation
from vecguard.keys.lease import LeasingProvider
from vecguard.manifest import Manifest, VectorRecord, open_core, open_tenants, open_vector
from vecguard.model import Caller, Peer, Principal
from vecguard.pipeline import Pipeline
from vecguard.policy.integrity import IntegrityRule
from vecguard.policy.model import CollectionPolicy, FixedRerankRule, Policy, VectorRule
from vecguard.registry import ENGINES, FRONTS
from vecguard.remembering import memory_in, open_state
from vecguard.seal.declaration import open_declaration
from vecguard.shield import Shield
from vecguard.upstream import Upstream
from vecguard.wiring import connect, open_key, tenant_keys_writer

if TYPE_CHECKING:  # fronts are loaded by the registry, and only those that are used
    from vecguard.front.base import Front

OPERATOR: Final = Principal("<operator>", frozenset({"read", "write", "admin"}))
CALLER: Final = Caller()

_HEALTH_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Database:
    """One database, with the keys to what lies in it."""

    front: Front
    upstream: Upstream
    provider: LeasingProvider
    memory: Memory | None = None
    """What remembers which records are the newest, where the settings and the front have it."""

    def pipeline(self, rules: Callable[[], Policy]) -> Pipeline:
        """The way of a client's calls under `rules`, for the operator, who may do everything. Its trail is silent:
        what a command did, it says itself."""
        front = self.front
        read, real_name = partial(front.read_manifest, self.upstream), partial(front.real_name, self.upstream)
        write = tenant_keys_writer(front, self.upstream)
        alone = Generation(None, 1, 0)
        catalog = Catalog(read, real_name, self.provider, rules, alone, write_tenant_keys=write, memory=self.memory)
        # No caller is restricted here, but what is planted is left out for everybody.
        return Pipeline(
            front.routes, catalog, self.upstream, rules, _operator, _silent, whole=True, restrict=front.restrict
        )

    async def shield(self, name: str, *, knowing: bool = False) -> Shield | None:
        """A collection's protection as it was made with, whatever the policy now says; None where it lies in clear.

        With `knowing`, for commands that write to it, or carry its records on as good: not beside what remembers which
        of its records are the newest.

        Raises:
            UpstreamFailure: there is no such collection, or the database cannot be reached.
            Unreadable: its manifest does not authenticate, or is that of another collection.
            Unavailable: the key provider, or what remembers the newest, is away.
            FailedPrecondition: with `knowing`, the settings do not name what remembers the newest, or it knows nothing.
        """
        real = await self.front.real_name(self.upstream, name, CALLER)
        stored = await self.front.read_manifest(self.upstream, real, CALLER)
        if stored is None:
            return None
        manifest, ring = open_core(stored.core, self.provider)
        if manifest.tenants is not None or stored.tenants:
            ring = ring.with_tenants(open_tenants(stored.tenants, manifest, ring))
        vectors = {key: open_vector(key, text, manifest, ring) for key, text in stored.vectors.items()}
        declared = None if stored.declared is None else open_declaration(stored.declared, ring, manifest.uuid.bytes)
        guard = await self.guard(manifest)
        if knowing and stored.newest and guard is None:
            raise self._unknowing(real)
        policy = as_made(manifest, vectors, newest=guard is not None)
        shield = Shield(manifest, ring, vectors, policy, declared)
        shield.fresh = guard
        return shield

    async def guard(self, manifest: Manifest) -> Guard | None:
        """What remembers which records of a collection are the newest, where anything is remembered of it.

        Raises:
            Unavailable: it is away.
        """
        if self.memory is None:
            return None
        guard = Guard(self.memory, manifest.uuid.bytes, manifest.collection)
        return guard if await guard.is_known() else None

    def _unknowing(self, name: str) -> FailedPrecondition:
        told = f"it is remembered which records of collection `{name}` are the newest (`rollback: detect`)"
        if self.memory is None:
            return FailedPrecondition(
                f"{told}, and this command would act behind that: give the settings of `vecguard serve` (--config)"
            )
        return FailedPrecondition(
            f"{told}, but not where the settings say: give those of `vecguard serve` (--config), or where that was "
            f"lost, have what is there taken as the newest with `vecguard verify {name} --adopt`"
        )


def as_made(manifest: Manifest, vectors: dict[str, VectorRecord], *, newest: bool = False) -> CollectionPolicy:
    """The policy entry that a collection was made under, as far as its manifest remembers it; for its name alone.

    `newest`: whether it is remembered which of its records are the newest.
    """
    rules = tuple(
        VectorRule(match=literal(name), transforms=record.transforms, recover=record.recover, rerank=_reranked(record))
        for name, record in vectors.items()
        if record.kind != "sparse"
    )
    return CollectionPolicy(
        match=literal(manifest.collection),
        vectors=(*rules, VectorRule()),
        payload=manifest.payload,
        integrity=IntegrityRule(rollback="detect" if newest else "ignore"),
        tenant_keys=manifest.tenants,
        ids="plain" if manifest.id_key is None else "encrypted",
    )


def _reranked(record: VectorRecord) -> Literal["off"] | FixedRerankRule:
    """A rule that goes with the record's transforms, whatever it was: nothing is searched under it."""
    return FixedRerankRule(candidates=1) if any(step.divides for step in record.transforms) else "off"


def literal(name: str) -> str:
    """The glob that matches `name` alone."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


@contextlib.asynccontextmanager
async def open_database(settings: Settings, front: FrontName | None = None) -> AsyncIterator[Database]:
    """The database that `settings` name; `front` says which where they name two.

    Raises:
        ConfigError: it is not said which of two, or the key cannot be used.
        Unavailable: an embedded engine does not start.
    """
    address = chosen(settings, front)
    provider = existing_key(settings)
    async with contextlib.AsyncExitStack() as stack:
        target = await stack.enter_async_context(_target(address))
        upstream = connect(address, target, settings)
        stack.push_async_callback(upstream.close)
        front_of = FRONTS.load(address.front)
        state = open_state(settings, provider)
        if state is not None:
            stack.push_async_callback(state.close)
        memory = None if front_of.adopt is None else memory_in(settings, provider, state)
        if memory is not None:
            stack.push_async_callback(memory.close)
        yield Database(front_of, upstream, provider, memory)


def chosen(settings: Settings, front: FrontName | None) -> Embedded | Remote:
    """The upstream of a protocol; of the only one where none is given.

    Raises:
        ConfigError: there is none, or several.
    """
    found = [address for address in settings.upstream if front in (None, address.front)]
    if len(found) != 1:
        known = ", ".join(address.front for address in settings.upstream)
        raise ConfigError(f"say which database is meant (of {known}) with --database")
    return found[0]


def existing_key(settings: Settings) -> LeasingProvider:
    """The key provider; a key file is never made here.

    Raises:
        ConfigError: the key file is missing, or the key cannot be used.
    """
    kind, _, location = settings.key.partition(":")
    if kind == "file" and not Path(location).exists():
        raise ConfigError(f"key file {location} does not exist: give the one that `vecguard serve` runs with (--key)")
    return open_key(settings)[0]


@contextlib.asynccontextmanager
async def _target(address: Embedded | Remote) -> AsyncIterator[str]:
    """Where the database answers; an engine that had to be started lives as long as this block."""
    if isinstance(address, Remote):
        yield address.target
        return
    kind = ENGINES.load(address.kind)
    running = kind.socket_of(address.data)
    if running is not None and await _answers(running, kind.health):
        yield running
        return
    if not address.data.is_dir():
        raise ConfigError(f"the data folder {address.data} does not exist: give the upstream of `vecguard serve`")
    engine = kind()
    try:
        yield await engine.start(address.data)
    finally:
        await engine.stop()


async def _answers(target: str, health: str) -> bool:
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            await channel.unary_unary(health, None, None)(b"", timeout=_HEALTH_S)
    except grpc.aio.AioRpcError:
        return False
    return True


async def _operator(metadata: Mapping[str, str], peer: Peer) -> Principal:
    del metadata, peer
    return OPERATOR


def _silent(event: str, **fields: object) -> None:
    del event, fields
