"""Alerts at a real receiver: signed, tried again, bounded, over verified TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from access.authority import Authority
from pydantic import ValidationError

from alerting.receiver import SECRET, Receiver, receiving
from vecguard.alerting import webhook
from vecguard.alerting.settings import WebhookSettings
from vecguard.alerting.webhook import Webhook, signature
from vecguard.errors import ConfigError

FOUND = {"principal": "ann", "collection": "notes", "rung": "alert", "risk": 1.2, "reasons": ["crawls"]}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECGUARD_WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr(webhook, "_BACKOFF_S", 0.01)


def posted(url: str, tell: Callable[[Webhook], None], **settings: object) -> Webhook:
    """A worker's webhook after what `tell` told it was delivered, or given up."""

    async def run() -> Webhook:
        sink = Webhook(WebhookSettings.model_validate({"url": url, **settings}), 3)
        sink.start()
        tell(sink)
        async with asyncio.timeout(120):
            while sink.waiting:
                await asyncio.sleep(0.01)
        await sink.close()
        return sink

    return asyncio.run(run())


def test_the_standards_own_example() -> None:
    key = __import__("base64").b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert (
        signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_an_alert_arrives_signed() -> None:
    with receiving() as receiver:
        sink = posted(receiver.url, lambda sink: sink("detection", **FOUND, query=[0.25]))
    (taken,) = receiver.taken
    assert taken["type"] == "vecguard.detection"
    assert taken["data"] == {
        **{"worker": 3, "principal": "ann", "rung": "alert", "risk": 1.2, "reasons": ["crawls"]},
        **{"collections": ["notes"], "suppressed": 0},
    }
    assert receiver.wrong == 0
    assert sink.outcomes == {"delivered": 1, "failed": 0, "dropped": 0}


def test_another_secret_does_not_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECGUARD_WEBHOOK_SECRET", "whsec_" + "A" * 32)
    with receiving() as receiver:
        posted(receiver.url, lambda sink: sink.alert("POLICY_REFUSED"))
    assert (receiver.taken, receiver.wrong) == ([], 1)


def test_it_is_tried_again_under_the_same_id() -> None:
    with receiving() as receiver:
        receiver.answers = [500, 429, 503]
        sink = posted(receiver.url, lambda sink: sink.alert("POLICY_REFUSED"))
    assert len(receiver.taken) == 1
    assert len(receiver.identities) == 4
    assert len(set(receiver.identities)) == 1
    assert sink.outcomes["delivered"] == 1


@pytest.mark.parametrize(("answers", "requests"), [([400], 1), ([302], 1), ([500] * 5, 3)])
def test_what_is_refused_is_given_up(answers: list[int], requests: int) -> None:
    with receiving() as receiver:
        receiver.answers = answers
        sink = posted(receiver.url, lambda sink: sink.alert("POLICY_REFUSED"), attempts=3)
    assert (len(receiver.identities), sink.outcomes["failed"]) == (requests, 1)


def test_a_flood_costs_a_bounded_queue_and_loses_the_oldest() -> None:
    with receiving() as receiver:
        sink = posted(receiver.url, lambda sink: [sink.alert("K", principal=str(n)) for n in range(50)], queue=10)
    assert sink.outcomes["dropped"] == 40
    assert [taken["data"]["principal"] for taken in receiver.taken] == [str(n) for n in range(40, 50)]


def test_a_flood_of_one_kind_does_not_push_out_another() -> None:
    def tell(sink: Webhook) -> None:
        sink.alert("DETECTION", principal="eve")
        for n in range(50):
            sink.alert("BLOCKED_CALL", principal=str(n))

    with receiving() as receiver:
        sink = posted(receiver.url, tell, queue=10)
    assert sink.outcomes["dropped"] == 41
    assert [taken["data"]["principal"] for taken in receiver.taken] == ["eve", *(str(n) for n in range(41, 50))]


def test_the_same_again_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(sink: Webhook) -> None:
        for _ in range(5):
            sink("call", cause="blocked", principal="ann")
        sink("call", cause="blocked", principal="bob")
        monkeypatch.setattr(webhook, "QUIET_S", 0.0)
        sink("call", cause="blocked", principal="ann")

    with receiving() as receiver:
        posted(receiver.url, tell)
    assert [(one["data"]["principal"], one["data"]["suppressed"]) for one in receiver.taken] == [
        *(("ann", 0), ("bob", 0), ("ann", 4)),
    ]


def test_of_another_collection_it_is_not_the_same() -> None:
    def tell(sink: Webhook) -> None:
        for collection in ("notes", "letters", "notes"):
            sink("detection", principal="ann", collection=collection, rung="alert")

    with receiving() as receiver:
        posted(receiver.url, tell)
    assert [one["data"]["collections"] for one in receiver.taken] == [["notes"], ["letters"]]


def test_tls_is_verified(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger")

    def taken(ca: Path) -> Receiver:
        with receiving(authority.issue("receiver")) as receiver:
            posted(receiver.url, lambda sink: sink.alert("POLICY_REFUSED"), ca=ca, attempts=2)
        return receiver

    assert len(taken(authority.ca).taken) == 1
    assert taken(stranger.ca).identities == []


def test_nobody_there_is_given_up() -> None:
    with receiving() as receiver:
        url = receiver.url
    assert posted(url, lambda sink: sink.alert("K"), attempts=2).outcomes["failed"] == 1


@pytest.mark.parametrize("url", ["http://example.com/hook", "ftp://127.0.0.1", "https://a:hunter2@example.com", "x"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        WebhookSettings(url=url)
    assert "hunter2" not in json.dumps(refused.value.errors()[0]["msg"])


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "AAAA" * 8, "whsec_" + "!" * 32])
def test_other_secrets_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECGUARD_WEBHOOK_SECRET", text)
    with pytest.raises(ConfigError, match="signing secret"):
        Webhook(WebhookSettings(url="https://example.com"), 0)
