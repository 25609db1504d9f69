"""Alerts posted to an address, signed as Standard Webhooks says (standardwebhooks.com), tried again, never in the way.

Calls never wait: an alert goes onto a bounded queue, and a task posts one after the other. Redirects are not followed,
certificates are always verified. What cannot be delivered is given up in the end, and counted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import math
import random
import secrets
import ssl
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

import httpx
import structlog

from vecguard.alerting.kinds import alert_of
from vecguard.alerting.settings import WebhookSettings
from vecguard.errors import ConfigError

QUIET_S: Final = 60.0
"""Seconds in which one kind of alert about one principal and collection, on one rung, is posted once; the next says how
many were left out."""
_MOST_QUIET: Final = 10_000
_BACKOFF_S: Final = 1.0
_LONGEST_S: Final = 300.0
_CLOSING_S: Final = 3.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_log = structlog.get_logger("vecguard.alerting")

Outcome = Literal["delivered", "failed", "dropped"]


class _Message(NamedTuple):
    kind: str
    identity: str
    body: bytes


def signature(secret: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: `v1,` and base64 of HMAC-SHA256 of `ID.TIMESTAMP.BODY`."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


class Webhook:
    """A sink of the trail's events, which posts those that an operator should know of."""

    def __init__(self, settings: WebhookSettings, worker: int) -> None:
        """Raises ConfigError: the secret or the CA cannot be used."""
        self._settings = settings
        self._secret = settings.secret()
        self._tls = _trusted(settings)
        self._worker = worker
        self._waiting: deque[_Message] = deque()
        self._quiet: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()
        self._some, self._idle = asyncio.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._posting: asyncio.Task[None] | None = None
        self.outcomes: dict[str, int] = {"delivered": 0, "failed": 0, "dropped": 0}
        """Alerts by what became of them: given up after their attempts (failed), or for want of room (dropped)."""

    @property
    def waiting(self) -> int:
        """Alerts that are not delivered yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to post, in this event loop."""
        self._loop = asyncio.get_running_loop()
        self._posting = self._loop.create_task(self._post_all())

    def __call__(self, event: str, **fields: object) -> None:
        """Take an event of the trail."""
        found = alert_of(event, fields)
        if found is not None:
            self.alert(found[0], **found[1])

    def alert(self, kind: str, **fields: object) -> None:
        """Post an alert; returns at once. From any thread."""
        suppressed = self._suppressed(kind, fields)
        if suppressed is None:
            return
        if len(self._waiting) >= self._settings.queue:
            self._drop()
            self.outcomes["dropped"] += 1
        self._waiting.append(_message(kind, self._worker, {**fields, "suppressed": suppressed}))
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._some.set)

    def _drop(self) -> None:
        """Give up the oldest of the kind of which most wait: many of one do not push out another."""
        waiting = list(self._waiting)
        if not waiting:
            return
        most = Counter(message.kind for message in waiting).most_common(1)
        with contextlib.suppress(ValueError):  # it was posted meanwhile: alerts come from any thread
            self._waiting.remove(next(message for message in waiting if message.kind == most[0][0]))

    def _suppressed(self, kind: str, fields: Mapping[str, object]) -> int | None:
        """How many of the same were left out before this one; None: leave this out, the last is too recent."""
        place = (kind, *(str(fields.get(name, "")) for name in ("principal", "collections", "rung")))
        now = time.monotonic()
        last, left_out = self._quiet.pop(place, (-math.inf, 0))
        told = now - last >= QUIET_S
        self._quiet[place] = (now, 0) if told else (last, left_out + 1)
        while len(self._quiet) > _MOST_QUIET:
            self._quiet.popitem(last=False)
        return left_out if told else None

    async def _post_all(self) -> None:
        async with httpx.AsyncClient(
            timeout=self._settings.timeout_s, follow_redirects=False, trust_env=False, verify=self._tls
        ) as client:
            while True:
                while self._waiting:
                    message = self._waiting[0]
                    outcome = await self._delivered(client, message)
                    if self._waiting and self._waiting[0] is message:  # not dropped meanwhile
                        self._waiting.popleft()
                        self.outcomes[outcome] += 1
                self._idle.set()
                await self._some.wait()
                self._some.clear()

    async def _delivered(self, client: httpx.AsyncClient, message: _Message) -> Outcome:
        """Try until the receiver takes it, refuses it for good, or it was tried often enough."""
        for attempt in range(self._settings.attempts):
            if attempt:
                spread = random.uniform(0.5, 1.0)  # noqa: S311 - no secret: so that workers do not come all at once
                await asyncio.sleep(spread * min(_BACKOFF_S * 2.0 ** (attempt - 1), _LONGEST_S))
            status = await self._posted(client, message)
            if status is not None and 200 <= status < 300:
                return "delivered"
            if status is not None and status < 500 and status not in _TRY_AGAIN:
                break  # also 3xx: where it would send us was not agreed on
        _log.error("alert not delivered to the webhook", alert=message.identity, status=status)
        return "failed"

    async def _posted(self, client: httpx.AsyncClient, message: _Message) -> int | None:
        """The receiver's status; None where there was no answer."""
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "vecguard",
            "webhook-id": message.identity,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret, message.identity, timestamp, message.body),
        }
        try:
            async with client.stream("POST", self._settings.url, content=message.body, headers=headers) as answer:
                return answer.status_code  # what it says beside is not read
        except (httpx.HTTPError, OSError):
            return None

    async def close(self) -> None:
        """Give what waits a moment, and stop."""
        if self._posting is None:
            return
        if self._waiting:
            self._idle.clear()
            await asyncio.wait([asyncio.ensure_future(self._idle.wait())], timeout=_CLOSING_S)
        self._posting.cancel()
        await asyncio.gather(self._posting, return_exceptions=True)
        if self._waiting:
            _log.error("alerts not delivered to the webhook before the end", alerts=len(self._waiting))


def _message(kind: str, worker: int, fields: Mapping[str, Any]) -> _Message:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    body = {"type": f"vecguard.{kind.lower()}", "timestamp": now, "data": {"worker": worker, **fields}}
    return _Message(kind, f"msg_{secrets.token_hex(12)}", json.dumps(body, ensure_ascii=False).encode())


def _trusted(settings: WebhookSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if settings.ca is None else str(settings.ca))
    except (OSError, ssl.SSLError):
        raise ConfigError(f"webhook: {settings.ca} holds no certificates") from None
