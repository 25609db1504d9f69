"""A leased data key is good for its time, outlives an outage within it, and is gone after it."""

import threading

import pytest

from vecguard.errors import Unavailable, Unreadable
from vecguard.keys import lease
from vecguard.keys.key import Key
from vecguard.keys.lease import LeasingProvider
from vecguard.keys.wrapping import LocalWrapping

CONTEXT = b"context"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Service:
    """A provider that counts what it is asked, and can be away."""

    def __init__(self) -> None:
        self.local = LocalWrapping(Key(bytes(32)))
        self.key_id = self.local.key_id
        self.away = False
        self.unwrapped = 0

    def wrap(self, data_key: Key, context: bytes) -> bytes:
        if self.away:
            raise Unavailable("away")
        return self.local.wrap(data_key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> Key:
        self.unwrapped += 1
        if self.away:
            raise Unavailable("away")
        return self.local.unwrap(wrapped, context)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service() -> Service:
    return Service()


def wrapped_by(service: Service) -> tuple[Key, bytes]:
    data_key = Key.random()
    return data_key, service.local.wrap(data_key, CONTEXT)


def test_within_the_first_half_the_service_is_asked_once(service: Service) -> None:
    provider = LeasingProvider(service, 60.0)
    data_key, wrapped = wrapped_by(service)
    keys = [provider.unwrap(wrapped, CONTEXT) for _ in range(3)]
    assert all(key == data_key for key in keys)
    assert service.unwrapped == 1
    assert provider.key_id == service.key_id


def test_what_was_wrapped_is_leased_too(service: Service) -> None:
    provider, data_key = LeasingProvider(service, 60.0), Key.random()
    wrapped = provider.wrap(data_key, CONTEXT)
    service.away = True
    assert provider.unwrap(wrapped, CONTEXT) == data_key
    assert service.unwrapped == 0


def test_each_caller_has_a_key_of_its_own(service: Service) -> None:
    provider = LeasingProvider(service, 60.0)
    data_key, wrapped = wrapped_by(service)
    provider.unwrap(wrapped, CONTEXT).close()
    assert provider.unwrap(wrapped, CONTEXT) == data_key


def test_an_outage_is_survived_to_the_end_of_the_lease_and_no_longer(service: Service, clock: Clock) -> None:
    provider = LeasingProvider(service, 60.0, clock)
    data_key, wrapped = wrapped_by(service)
    provider.unwrap(wrapped, CONTEXT)
    service.away = True
    for passed in (1.0, 29.0, 31.0, 59.9):
        clock.now = 1000.0 + passed
        assert provider.unwrap(wrapped, CONTEXT) == data_key
    clock.now = 1060.0
    with pytest.raises(Unavailable):
        provider.unwrap(wrapped, CONTEXT)
    service.away = False
    clock.now += 10.0
    assert provider.unwrap(wrapped, CONTEXT) == data_key


def test_in_the_second_half_the_service_is_asked_again(service: Service, clock: Clock) -> None:
    provider = LeasingProvider(service, 60.0, clock)
    data_key, wrapped = wrapped_by(service)
    for passed, asked in ((0.0, 1), (29.0, 1), (31.0, 2), (60.0, 2), (62.0, 3)):
        clock.now = 1000.0 + passed
        assert provider.unwrap(wrapped, CONTEXT) == data_key
        assert service.unwrapped == asked


def test_a_service_that_is_away_is_not_asked_by_every_call(service: Service, clock: Clock) -> None:
    provider = LeasingProvider(service, 60.0, clock)
    data_key, wrapped = wrapped_by(service)
    service.away = True
    for _ in range(5):
        with pytest.raises(Unavailable):
            provider.unwrap(wrapped, CONTEXT)
    assert service.unwrapped == 1
    service.away = False
    with pytest.raises(Unavailable, match=r"^away$"):
        provider.wrap(data_key, CONTEXT)
    clock.now += 2.5
    assert provider.wrap(data_key, CONTEXT)
    assert provider.unwrap(wrapped, CONTEXT) == data_key


def test_a_lease_is_of_one_key_in_one_context(service: Service) -> None:
    provider = LeasingProvider(service, 60.0)
    data_key, wrapped = wrapped_by(service)
    assert provider.unwrap(wrapped, CONTEXT) == data_key
    for other, context in ((wrapped, b"other"), (wrapped[:-1] + b"!", CONTEXT)):
        with pytest.raises(Unreadable):
            provider.unwrap(other, context)


def test_keys_are_zeroed_when_their_lease_is_over(service: Service, clock: Clock) -> None:
    provider = LeasingProvider(service, 60.0, clock)
    provider.unwrap(wrapped_by(service)[1], CONTEXT)
    (held,) = [lent.key for lent in provider._keys.values()]
    clock.now += 60.0
    provider.unwrap(wrapped_by(service)[1], CONTEXT)
    with pytest.raises(Unavailable):
        held.expose()
    assert len(provider._keys) == 1


def test_no_more_keys_are_held_than_there_may_be(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_MOST_KEYS", 3)
    provider = LeasingProvider(service, 60.0)
    for _ in range(5):
        provider.unwrap(wrapped_by(service)[1], CONTEXT)
    assert len(provider._keys) == 3


def test_a_recording_knows_its_oldest_lease(service: Service, clock: Clock) -> None:
    provider = LeasingProvider(service, 60.0, clock)
    (_, first), (_, second) = wrapped_by(service), wrapped_by(service)
    provider.unwrap(first, CONTEXT)
    clock.now += 20.0
    recording = provider.recording()
    recording.unwrap(second, CONTEXT)
    recording.unwrap(first, CONTEXT)
    states = []
    for now in (1029.0, 1030.0, 1059.0, 1060.0):
        clock.now = now
        states.append((recording.good, recording.aging))
    assert states == [(True, False), (True, True), (True, True), (False, True)]


def test_many_threads_share_one_provider(service: Service) -> None:
    provider = LeasingProvider(service, 60.0)
    pairs = [wrapped_by(service) for _ in range(8)]
    wrong: list[object] = []

    def work() -> None:
        for data_key, wrapped in pairs * 5:
            if provider.unwrap(wrapped, CONTEXT) != data_key:
                wrong.append(wrapped)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
