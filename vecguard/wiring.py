"""From settings to a running server: the only constructor of everything."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import grpc
import structlog

from vecguard.catalog import Catalog
from vecguard.config import EmbeddedUpstream, QdrantUpstream, Settings, upstream_api_key
from vecguard.errors import ConfigError
from vecguard.generation import Generation
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.provider import KeyProvider
from vecguard.model import ANONYMOUS, Principal
from vecguard.pipeline import Pipeline
from vecguard.policy.load import PolicyHolder
from vecguard.registry import FRONTS, KEY_PROVIDERS
from vecguard.server import Server
from vecguard.trail import Trail
from vecguard.upstream import Upstream

_GRACE_S: Final = 30.0
_MIB: Final = 1024 * 1024
# A stored record is larger than the client's: entries, sealed payload (base64) and padding.
_GROWTH: Final = 4
_log = structlog.get_logger("vecguard")


def open_key(settings: Settings) -> tuple[KeyProvider, bool]:
    """The key provider, and whether a new key file was made for it.

    A missing key file is made only where there is no data that an older key may have sealed.

    Raises:
        ConfigError: the key cannot be used, or is missing although there is data.
    """
    kind, _, location = settings.key.partition(":")
    made = False
    if kind == "file" and not Path(location).exists():
        if _has_data(settings):
            raise ConfigError(
                f"key file {location} is missing, but there is data that was sealed with one: restore it from your "
                "backup (without it the data cannot be read), or give another with --key"
            )
        FileKeyProvider.create(location)
        made = True
    return KEY_PROVIDERS.load(kind)(location, os.environ), made


def _has_data(settings: Settings) -> bool:
    if isinstance(settings.upstream, EmbeddedUpstream):
        return settings.upstream.data.is_dir() and any(settings.upstream.data.iterdir())
    return False


def open_policy(settings: Settings) -> PolicyHolder:
    """The policy, from its file or the default.

    Raises:
        ConfigError: the file has errors; names each with its line.
    """
    return PolicyHolder(settings.policy)


def connect(settings: Settings, target: str) -> Upstream:
    """The channel to the database at `target`."""
    remote = settings.upstream if isinstance(settings.upstream, QdrantUpstream) else None
    api_key = upstream_api_key() if remote is not None else None
    return Upstream(
        target,
        credentials=grpc.ssl_channel_credentials() if remote is not None and remote.tls else None,
        metadata=(("api-key", api_key),) if api_key else (),
        max_message_bytes=settings.max_message_mib * _MIB * _GROWTH,
    )


def anonymous(metadata: Mapping[str, str]) -> Principal:
    """Every caller is anonymous; the policy's `access.anonymous` says what that may do."""
    del metadata
    return ANONYMOUS


class Worker:
    """One worker process: policy, keys, upstream, front and listener."""

    def __init__(self, settings: Settings, target: str, generation: Generation) -> None:
        """`target` is where the database answers (the engine's socket, or the remote's address).

        Raises:
            ConfigError: policy, key or address cannot be used.
        """
        self.policy = open_policy(settings)
        provider, _ = open_key(settings)
        self._upstream = connect(settings, target)
        front = FRONTS.load("qdrant")
        rules = lambda: self.policy.current  # noqa: E731 - read anew at each call, so that a reload takes effect
        read, real_name = partial(front.read_manifest, self._upstream), partial(front.real_name, self._upstream)
        catalog = Catalog(read, real_name, provider, rules, generation)
        pipeline = Pipeline(front.routes, catalog, self._upstream, rules, anonymous, Trail())
        self._server = Server(
            pipeline,
            settings.listen,
            shared_port=settings.workers > 1,
            max_message_mib=settings.max_message_mib,
        )

    def reload(self) -> None:
        """Take the policy file's new contents; a bad file is reported and the old policy stays."""
        errors = self.policy.reload()
        if errors:
            _log.error("policy not reloaded", errors=[str(error) for error in errors])
        else:
            _log.info("policy reloaded")

    async def start(self) -> None:
        """Begin to take calls."""
        await self._server.start()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads the policy. Calls in flight are finished.

        `ready` is told once calls are taken and signals heeded.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self.start()
        # What start-up made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        ready()
        await stop.wait()
        await self.close()

    async def close(self) -> None:
        """Finish calls in flight and stop."""
        await self._server.stop(_GRACE_S)
        await self._upstream.close()
