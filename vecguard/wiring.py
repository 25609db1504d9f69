"""From settings to a running server: the only constructor of everything."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from vecguard.access.identify import Identifier
from vecguard.blocks import Blocks
from vecguard.catalog import Catalog, WriteTenantKeys
from vecguard.config import Embedded, QdrantUpstream, Remote, Settings, host_and_port, upstream_api_key
from vecguard.detect.acts import FILE as ACTS
from vecguard.detect.acts import Acts
from vecguard.detect.detection import Detection
from vecguard.detect.log import LogWriter
from vecguard.detect.memory import MemoryStore
from vecguard.errors import ConfigError
from vecguard.generation import Generation
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.hidden import HiddenEnvironment
from vecguard.keys.lease import LeasingProvider
from vecguard.keys.provider import KeyProvider
from vecguard.keys.several import SeveralProviders
from vecguard.load import Load
from vecguard.observing import Observers
from vecguard.pipeline import Pipeline
from vecguard.policy.load import PolicyHolder
from vecguard.policy.model import Policy
from vecguard.registry import FRONTS, KEY_PROVIDERS, LISTENERS
from vecguard.remembering import memory_in, open_state, rates_in, require_memory, sharing_of
from vecguard.server import Server
from vecguard.sweep import Sweeper
from vecguard.telling import BLOCKS, SOCKET, Telling
from vecguard.tls import ServerCertificates, upstream_credentials
from vecguard.upstream import Upstream

if TYPE_CHECKING:  # fronts are loaded by the registry, and only those that are served
    from prometheus_client import CollectorRegistry

    from vecguard.front.base import Front
    from vecguard.front.rest.listener import RestServer

_GRACE_S: Final = 30.0
_WATCH_S: Final = 1.0
_MIB: Final = 1024 * 1024
# A stored record is larger than the client's: entries, sealed payload (base64) and padding.
_GROWTH: Final = 4
_log = structlog.get_logger("vecguard")


def open_key(settings: Settings) -> tuple[LeasingProvider, bool]:
    """The key provider, before which data keys are leased, and whether a new key file was made for it.

    A missing key file is made only where there is no data that an older key may have sealed.

    Raises:
        ConfigError: the key cannot be used, or is missing although there is data.
    """
    kind, _, location = settings.key.partition(":")
    environ, made = HiddenEnvironment(os.environ), False
    if kind == "file" and not Path(location).exists():
        if _has_data(settings):
            raise ConfigError(
                f"key file {location} is missing, but there is data that was sealed with one: restore it from your "
                "backup (without it the data cannot be read), or give another with --key"
            )
        FileKeyProvider.create(location, environ)
        made = True
    current = KEY_PROVIDERS.load(kind)(location, environ)
    former = [open_provider(text) for text in settings.former_keys]
    return LeasingProvider(SeveralProviders(current, former) if former else current, settings.key_lease_s), made


def open_provider(text: str) -> KeyProvider:
    """The key provider of a setting, `KIND:LOCATION`; a key file is never made here.

    Raises:
        ConfigError: the key cannot be used.
    """
    kind, _, location = text.partition(":")
    return KEY_PROVIDERS.load(kind)(location, HiddenEnvironment(os.environ))


def _has_data(settings: Settings) -> bool:
    folders = [upstream.data for upstream in settings.upstream if isinstance(upstream, Embedded)]
    return any(folder.is_dir() and any(folder.iterdir()) for folder in folders)


def open_policy(settings: Settings) -> PolicyHolder:
    """The policy, from its file or the default.

    Raises:
        ConfigError: the file has errors, and names each with its line; or it lets in anybody from the network.
    """

    def require(rules: Policy) -> None:
        require_authentication(settings, rules)
        require_memory(settings, rules)

    return PolicyHolder(settings.policy, require)


def require_authentication(settings: Settings, rules: Policy) -> None:
    """Refuse a policy without credentials where other machines reach the listeners, unless the settings allow it.

    Raises:
        ConfigError: it is one.
    """
    allowed = settings.allow_clear_network or settings.allow_anonymous_network
    if allowed or rules.access.authenticates or not settings.open_addresses:
        return
    raise ConfigError(
        f"listening on {settings.open_addresses[0]} with a policy that names no credential would let in everybody: "
        "name some under `access`, listen on 127.0.0.1, or say `allow_anonymous_network: true` in the config file"
    )


def connect(address: Embedded | Remote, target: str, settings: Settings) -> Upstream:
    """The channel to the database at `target`, which is where `address` answers."""
    credential = upstream_api_key() if isinstance(address, Remote) else None
    return Upstream(
        target,
        credentials=upstream_credentials(settings.upstream_tls) if _over_tls(address) else None,
        metadata=() if credential is None else (_as_header(address, credential),),
        max_message_bytes=settings.max_message_mib * _MIB * _GROWTH,
    )


def _over_tls(address: Embedded | Remote) -> bool:
    return isinstance(address, Remote) and address.tls


def _as_header(address: Embedded | Remote, credential: str) -> tuple[str, str]:
    """The database's credential as its clients send it."""
    if isinstance(address, QdrantUpstream):
        return "api-key", credential
    return "authorization", base64.b64encode(credential.encode()).decode("ascii")


def _blocks(settings: Settings, control: Path | None) -> Blocks | None:
    """The list of blocked principals, which the control plane writes."""
    if settings.admin is None or control is None:
        return None
    return Blocks(settings.admin.blocks or control / BLOCKS)


def _recorder(settings: Settings, worker: int) -> LogWriter | None:
    """What keeps observations for a replay, where the settings say so. Raises ConfigError: its folder is no use."""
    if settings.detection_log is None:
        return None
    size, files = settings.detection_log_mib * _MIB, settings.detection_log_files
    return LogWriter(settings.detection_log, worker, file_bytes=size, most_files=files)


def tenant_keys_writer(front: Front, upstream: Upstream) -> WriteTenantKeys | None:
    """What a catalog writes tenants' keys with; None where the front cannot."""
    return None if front.write_tenant_keys is None else partial(front.write_tenant_keys, upstream)


class Worker:
    """One worker process: policy, keys, and for each protocol its upstream, front and listener."""

    def __init__(
        self,
        settings: Settings,
        targets: Mapping[str, str],
        generation: Generation,
        number: int = 0,
        registry: CollectorRegistry | None = None,
        control: Path | None = None,
    ) -> None:
        """`targets` says where each front's database answers (an engine's socket, or the remote's address).

        `number` is this worker's among those of the host; `registry` takes the metrics of one that is alone.
        `control` is the folder that it shares with the control plane, where there is one.

        Raises:
            ConfigError: policy, key or address cannot be used.
        """
        self.policy = open_policy(settings)
        self._provider, _ = open_key(settings)
        self._generation = generation
        self._number, self._sweep_s = number, settings.retention_sweep_s
        self._sweepers: list[Sweeper] = []
        telling = None if control is None else Telling(control / SOCKET, number)
        self._observers = Observers(settings, self._provider, number, registry, telling)
        self._blocks = _blocks(settings, control)
        self._identify = Identifier(lambda: self.policy.current)
        self._state = open_state(settings, self._provider)
        self._rates, self._memory = rates_in(self._state), memory_in(settings, self._provider, self._state)
        self._load = Load(settings.max_inflight_mib)
        self._recorder = _recorder(settings, number)
        self._detection = self._detecting(settings)
        self._report(control, telling)
        self._certificates = None if settings.tls is None else ServerCertificates(settings.tls)
        self._upstreams: dict[str, Upstream] = {}
        self._servers: list[Server | RestServer] = []
        for address in settings.upstream:
            upstream = connect(address, targets[address.front], settings)
            self._upstreams[address.front] = upstream
            pipeline = self._pipeline(FRONTS.load(address.front), upstream)
            self._servers.append(self._grpc(pipeline, settings.listeners[address.front], settings))
            if address.front == "qdrant" and settings.rest_listen is not None:
                self._servers.append(self._rest(pipeline, settings.rest_listen, settings))

    def _report(self, control: Path | None, telling: Telling | None) -> None:
        """Have what this worker remembers told to the control plane, where there is one."""
        if control is not None and telling is not None:
            self._detection.report(Acts(control / ACTS), telling.risk)

    def _detecting(self, settings: Settings) -> Detection:
        """What looks for extraction in the calls of all fronts."""
        memory = MemoryStore(settings.detection_memory_mib * _MIB)
        sharing = None if self._state is None else sharing_of(self._state, memory)
        store = memory if sharing is None else sharing.store
        record = None if self._recorder is None else self._recorder.write
        told = self._observers
        return Detection(
            store,
            lambda: self.policy.current,
            told,
            record=record,
            failed=told.detection_missed,
            waited=told.detection_waited,
            sharing=sharing,
        )

    def _pipeline(self, front: Front, upstream: Upstream) -> Pipeline:
        rules = lambda: self.policy.current  # noqa: E731 - read anew at each call, so that a reload takes effect
        read, real_name = partial(front.read_manifest, upstream), partial(front.real_name, upstream)
        catalog = Catalog(
            read,
            real_name,
            self._provider,
            rules,
            self._generation,
            write_tenant_keys=tenant_keys_writer(front, upstream),
            memory=None if front.adopt is None else self._memory,
        )
        self._observers.watch(front.routes, catalog)
        if self._number == 0:  # one worker of a host is enough
            names, delete = partial(front.names, upstream), partial(front.sweep, upstream)
            self._sweepers.append(Sweeper(names, delete, catalog, rules, self._observers))
        return Pipeline(
            front.routes,
            catalog,
            upstream,
            rules,
            self._identify,
            self._observers,
            failed=front.failed,
            passed_metadata=front.passed_metadata - upstream.carries,
            records=front.records,
            restrict=front.restrict,
            damaged=front.damaged,
            shaped=front.shaped,
            rates=self._rates,
            require_free=self._require_free,
            load=self._load,
            asked=front.asked,
            watch=self._detection.watch(front.observe, partial(front.count, upstream), front.shown),
        )

    def _require_free(self, principal: str) -> None:
        if self._blocks is not None:
            self._blocks.require_free(principal)

    def _grpc(self, pipeline: Pipeline, listen: str, settings: Settings) -> Server:
        """One protocol's gRPC listener."""
        return Server(
            pipeline,
            listen,
            shared_port=settings.workers > 1,
            max_message_mib=settings.max_message_mib,
            max_calls=settings.max_calls,
            credentials=None if self._certificates is None else self._certificates.for_grpc(),
        )

    def _rest(self, pipeline: Pipeline, listen: str, settings: Settings) -> RestServer:
        """Qdrant's REST API before the same pipeline as its gRPC API."""
        listener = LISTENERS.load("rest")
        return listener(
            pipeline,
            *host_and_port(listen),
            shared_port=settings.workers > 1,
            max_message_mib=settings.max_message_mib,
            max_connections=settings.max_connections,
            tls=None if self._certificates is None else self._certificates.for_http(),
        )

    def reload(self) -> None:
        """Take the new contents of the policy file and the certificates; bad ones are reported, and the old stay."""
        if self._certificates is not None:
            self._certificates.refresh()
        errors = self.policy.reload()
        self._observers.policy_reloaded(self.policy.digest, not errors)
        if errors:
            _log.error("policy not reloaded", errors=[str(error) for error in errors])
        else:
            _log.info("policy reloaded")

    async def start(self) -> None:
        """Begin to take calls."""
        await self._detection.start()
        if self._observers.webhook is not None:
            self._observers.webhook.start()
        for server in self._servers:
            await server.start()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads the policy. Calls in flight are finished.

        `ready` is told once calls are taken and signals heeded.
        """
        # What overflows is looked for in results and refused; nobody reads a warning in a server.
        np.seterr(over="ignore", invalid="ignore")
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
        self._observers.policy_in_force(self.policy.digest)
        beside = [asyncio.create_task(self._watch_upstreams())]
        beside += [asyncio.create_task(sweeper.run(self._sweep_s)) for sweeper in self._sweepers]
        await stop.wait()
        for task in beside:
            task.cancel()
        await self.close()

    async def _watch_upstreams(self) -> None:
        """Keep the metrics of states and queues up to date."""
        metrics = self._observers.metrics
        while metrics is not None:
            for front, upstream in self._upstreams.items():
                metrics.upstream_connected(front, upstream.reachable())
            metrics.detection.waiting(len(self._detection.intake))
            if self._state is not None:
                metrics.detection.state(self._state.reachable, self._state.failures)
            if self._observers.webhook is not None:
                metrics.detection.webhook(self._observers.webhook.waiting, self._observers.webhook.outcomes)
            await asyncio.sleep(_WATCH_S)

    async def close(self) -> None:
        """Finish calls in flight and stop."""
        await asyncio.gather(*(server.stop(_GRACE_S) for server in self._servers))
        await self._detection.close()
        if self._recorder is not None:
            self._recorder.close()
        for upstream in self._upstreams.values():
            await upstream.close()
        if self._memory is not None:
            await self._memory.close()
        if self._state is not None:
            await self._state.close()
        if self._observers.webhook is not None:
            await self._observers.webhook.close()
        self._observers.close()
