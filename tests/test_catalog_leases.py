"""The keys of a compiled collection are leased: an outage of the key provider is survived, and bounded."""

import asyncio
import gc
import threading
import weakref

import pytest
from test_catalog import CALLER, PROVIDER, Backend, made

from vecguard import catalog as catalog_module
from vecguard.catalog import Catalog
from vecguard.errors import Unavailable
from vecguard.generation import Generation
from vecguard.keys.lease import LeasingProvider
from vecguard.policy.model import CollectionPolicy, Policy

PROTECTED = Policy(version=1, collections=(CollectionPolicy(match="*"),))


class Service:
    """A key provider that can be away, and remembers how often and in which thread it was asked."""

    key_id = PROVIDER.key_id

    def __init__(self):
        self.away = False
        self.threads = []
        self.held = threading.Event()
        self.held.set()

    def wrap(self, data_key, context):
        return PROVIDER.wrap(data_key, context)

    def unwrap(self, wrapped, context):
        self.threads.append(threading.current_thread())
        self.held.wait()
        if self.away:
            raise Unavailable("the key provider cannot be reached")
        return PROVIDER.unwrap(wrapped, context)


class Clock:
    """Time of the leases, which passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(catalog_module, "RENEWAL_PAUSE_S", 0.001)
    return Service()


def catalog_over(service, clock, **manifests):
    """A catalog whose keys are leased for 60 seconds of `clock`."""
    backend, provider = Backend(dict(manifests)), LeasingProvider(service, 60.0, clock)
    return Catalog(backend.read, backend.real_name, provider, lambda: PROTECTED, Generation(None, 1, 0), max_age=1e6)


async def settled(catalog):
    """Wait until no renewal runs."""
    while catalog._renewing is not None:
        await asyncio.sleep(0.001)


def test_a_collection_is_served_through_an_outage_until_its_lease_is_over(service, clock):
    async def run():
        catalog = catalog_over(service, clock, notes=made("notes"))
        first = await catalog.get("notes", CALLER)
        service.away = True
        for passed in (1.0, 29.0, 31.0, 45.0, 59.9):
            clock.now = 1000.0 + passed
            assert (await catalog.get("notes", CALLER)).shield is first.shield
            await settled(catalog)
        clock.now = 1060.0
        for _ in range(2):
            with pytest.raises(Unavailable):
                await catalog.get("notes", CALLER)
            clock.now += 5.0
        service.away = False
        assert (await catalog.get("notes", CALLER)).shield is not None

    asyncio.run(run())


def test_a_lease_is_renewed_beside_the_calls_and_nothing_is_compiled_anew(service, clock):
    async def run():
        catalog = catalog_over(service, clock, notes=made("notes"))
        first = await catalog.get("notes", CALLER)
        for _ in range(18):  # three leases
            clock.now += 10.0
            assert (await catalog.get("notes", CALLER)).shield is first.shield
            await settled(catalog)

    asyncio.run(run())
    assert len(service.threads) == 1 + 6  # one for every half of a lease


def test_when_a_lease_is_over_of_many_calls_one_asks(service, clock):
    async def run():
        catalog = catalog_over(service, clock, notes=made("notes"))
        first = await catalog.get("notes", CALLER)
        clock.now += 3600.0
        entries = await asyncio.gather(*(catalog.get("notes", CALLER) for _ in range(6)))
        assert len({id(entry.shield) for entry in entries}) == 1
        assert entries[0].shield is not first.shield

    asyncio.run(run())
    assert len(service.threads) == 2


def test_what_was_compiled_is_dropped_when_its_lease_is_over(service, clock):
    async def run():
        catalog = catalog_over(service, clock, notes=made("notes"), other=made("other"))
        old = weakref.ref((await catalog.get("notes", CALLER)).shield)
        clock.now += 31.0
        young = weakref.ref((await catalog.get("other", CALLER)).shield)
        clock.now += 30.0
        catalog._drop_ended()
        gc.collect()
        assert old() is None
        assert young() is not None

    asyncio.run(run())


@pytest.mark.slow
def test_it_is_dropped_without_any_call(service):
    async def run():
        backend, provider = Backend({"notes": made("notes")}), LeasingProvider(service, 2.0)
        catalog = Catalog(backend.read, backend.real_name, provider, lambda: PROTECTED, Generation(None, 1, 0))
        shield = weakref.ref((await catalog.get("notes", CALLER)).shield)
        while shield() is not None:
            await asyncio.sleep(0.05)
            gc.collect()
        assert not provider._keys

    asyncio.run(asyncio.wait_for(run(), 120))


def test_a_slow_key_provider_holds_up_no_other_call(service, clock):
    async def run():
        catalog = catalog_over(service, clock, notes=made("notes"))
        await catalog.get("notes", CALLER)
        service.held.clear()  # from now on the provider answers nothing
        clock.now += 31.0
        for _ in range(3):
            await asyncio.wait_for(catalog.get("notes", CALLER), 60)
            await asyncio.sleep(0.01)
        service.held.set()
        await settled(catalog)

    asyncio.run(run())
    assert len(service.threads) == 2
    assert threading.main_thread() not in service.threads


def test_a_provider_without_a_lease_gets_one():
    backend = Backend({"notes": made("notes")})
    catalog = Catalog(backend.read, backend.real_name, PROVIDER, lambda: PROTECTED, Generation(None, 1, 0))
    entry = asyncio.run(catalog.get("notes", CALLER))
    assert isinstance(catalog.provider, LeasingProvider)
    assert entry.keys is not None
    assert entry.keys.good
