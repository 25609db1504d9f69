"""Where a worker's events go, as the settings say: the log, the journal, metrics and traces."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from vecguard.config import Settings
from vecguard.errors import ConfigError
from vecguard.journal.chain import CONTEXT
from vecguard.journal.writer import Journal
from vecguard.keys.key import Key
from vecguard.keys.lease import LeasingProvider
from vecguard.telling import Telling
from vecguard.trail import Trail

if TYPE_CHECKING:  # loaded only where they are switched on
    from prometheus_client import CollectorRegistry

    from vecguard.alerting.webhook import Webhook
    from vecguard.telemetry.metrics import Metrics
    from vecguard.telemetry.tracing import Tracing

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which `prometheus_client` is told where processes write together; read when it is imported."""
METRICS: Final = "metrics"
"""Name of the folder, beside the generation file, in which the workers of one host count."""
_MIB: Final = 1024 * 1024


class Known(Protocol):
    """A catalog, as far as metrics ask it."""

    def known_name(self, name: str) -> str | None:
        """Which collection a name means; None for one that is not known to exist."""


class Observers:
    """A worker's sinks of events; itself one (`vecguard.pipeline.Trail`)."""

    def __init__(
        self,
        settings: Settings,
        provider: LeasingProvider,
        worker: int,
        registry: CollectorRegistry | None = None,
        telling: Telling | None = None,
    ) -> None:
        """`registry` takes the metrics of a process that is alone; several processes write to a folder.

        `telling` tells the control plane, where there is one.

        Raises:
            ConfigError: an extra is missing, or the trail's folder cannot be written.
            Unavailable: the key provider is away, and there is a journal whose key it must wrap.
        """
        self._journal = open_journal(settings, provider, worker)
        self._trail = Trail(copy=None if self._journal is None else self._journal.write)
        self._catalogs: list[Known] = []
        self.metrics = _metrics(settings, self._real_name, registry)
        self._tracing = _tracing(settings)
        self.webhook = _webhook(settings, worker)
        self._sinks: tuple[Callable[..., None], ...] = tuple(
            sink for sink in (self._trail, self.metrics, self._tracing, telling, self.webhook) if sink is not None
        )
        self._telling = telling
        provider.failed = self._key_provider_failed

    def __call__(self, event: str, **fields: object) -> None:
        """Take an event."""
        for sink in self._sinks:
            sink(event, **fields)

    def watch(self, rpcs: Iterable[str], catalog: Known) -> None:
        """Tell the methods of one more front, and its collections."""
        self._catalogs.append(catalog)
        if self.metrics is not None:
            self.metrics.rpcs.update(rpcs)

    def close(self) -> None:
        """Write and send what waits."""
        self._trail.flush()
        if self._journal is not None:
            self._journal.close()
        if self.metrics is not None:
            self.metrics.fold()
        if self._tracing is not None:
            self._tracing.close()
        if self._telling is not None:
            self._telling.close()

    def policy_in_force(self, digest: str) -> None:
        """The worker serves under the policy with this digest."""
        if self._telling is not None:
            self._telling.policy(digest)

    def policy_reloaded(self, digest: str, accepted: bool) -> None:
        """The worker read the policy file again, and serves under the policy with this digest now."""
        self.policy_in_force(digest)
        if self.metrics is not None:
            self.metrics.policy_reloaded(accepted)
        if not accepted:
            self._alert("POLICY_REFUSED")

    def detection_waited(self) -> None:
        """A call waited for room in detection's queue."""
        if self.metrics is not None:
            self.metrics.detection_waited()

    def detection_missed(self, calls: int) -> None:
        """Detection could not look at served calls."""
        if self.metrics is not None:
            self.metrics.detection_missed(calls)

    def _key_provider_failed(self) -> None:
        if self.metrics is not None:
            self.metrics.key_provider_failed()
        self._alert("KEY_PROVIDER_FAILURE")

    def _alert(self, kind: str) -> None:
        for told in (self._telling, self.webhook):
            if told is not None:
                told.alert(kind)

    def _real_name(self, name: str) -> str | None:
        return next((real for catalog in self._catalogs if (real := catalog.known_name(name)) is not None), None)


def share_metrics(folder: Path) -> None:
    """Let this process count into `folder`, together with others. Before the first metric is made."""
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ[FOLDER] = str(folder)


def worker_ended(folder: Path, pid: int) -> None:
    """Forget the state of a worker that ended; what it counted stays."""
    for file in folder.glob(f"gauge_live*_{pid}.db"):
        file.unlink(missing_ok=True)


def _metrics(
    settings: Settings, real_name: Callable[[str], str | None], registry: CollectorRegistry | None
) -> Metrics | None:
    if settings.metrics_listen is None:
        return None
    from vecguard.telemetry.metrics import Metrics

    return Metrics(real_name, collections=settings.metrics_collections, registry=registry)


def _webhook(settings: Settings, worker: int) -> Webhook | None:
    if settings.webhook is None:
        return None
    from vecguard.alerting.webhook import Webhook

    return Webhook(settings.webhook, worker)


def _tracing(settings: Settings) -> Tracing | None:
    if not settings.traces:
        return None
    try:
        from vecguard.telemetry.tracing import Tracing
    except ImportError:
        raise ConfigError("`traces: true` needs OpenTelemetry: pip install 'vecguard[otel]'") from None
    return Tracing()


def open_journal(settings: Settings, provider: LeasingProvider, worker: int | str) -> Journal | None:
    """A new file of the trail in the settings' folder; None where they name none. `worker` is whose it is.

    Raises:
        ConfigError: the folder cannot be written.
        Unavailable: the key provider, which wraps the journal's key, is away.
    """
    if settings.trail_folder is None:
        return None
    key = Key(secrets.token_bytes(32))
    wrapped = provider.wrap(key, CONTEXT)
    return Journal(settings.trail_folder, worker, key.expose(), wrapped, file_bytes=settings.trail_file_mib * _MIB)
