"""The connection: one key for all who share a store, a password, TLS, and a store that stops, hangs and comes back."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import pytest
from access.authority import Authority
from redis_server import RedisServer, redis_server

from state.stores import connection, provider
from vecguard.errors import Unavailable
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.key import Key
from vecguard.keys.lease import LeasingProvider
from vecguard.keys.several import SeveralProviders
from vecguard.state.buckets import Draw, draw
from vecguard.state.connection import Connection

ONE = [Draw(("calls",), 1e-6, 100, 1, 1)]


async def drawn(store: Connection) -> list[float]:
    try:
        return await draw(store, ONE)
    finally:
        await store.close()


def test_who_shares_a_store_shares_its_key(redis: RedisServer, tmp_path: Path) -> None:
    async def identities() -> set[str]:
        held = provider(tmp_path)
        stores = [connection(redis, held, prefix="same") for _ in range(8)]
        keys = await asyncio.gather(*(store.key() for store in stores))
        for store in stores:
            await store.close()
        return {key.identity for key in keys}

    assert len(asyncio.run(identities())) == 1


def test_another_key_encryption_key_is_refused(redis: RedisServer, tmp_path: Path) -> None:
    assert asyncio.run(drawn(connection(redis, provider(tmp_path), prefix="kek"))) == [0.0]
    with pytest.raises(Unavailable, match="does not open"):
        asyncio.run(drawn(connection(redis, provider(tmp_path, "other.key"), prefix="kek")))


def test_a_new_key_encryption_key_wraps_the_same_key_anew(redis: RedisServer, tmp_path: Path) -> None:
    old = provider(tmp_path, "old.key")
    new = FileKeyProvider.create(str(tmp_path / "new.key"), {})
    both = LeasingProvider(SeveralProviders(new, [FileKeyProvider(str(tmp_path / "old.key"), {})]))

    async def identity(held: LeasingProvider) -> str:
        store = connection(redis, held, prefix="rewrap")
        try:
            return (await store.key()).identity
        finally:
            await store.close()

    first = asyncio.run(identity(old))
    assert asyncio.run(identity(both)) == first
    assert asyncio.run(identity(LeasingProvider(new))) == first  # the old one is not needed any more


def test_an_emptied_store_gets_the_key_that_processes_have(tmp_path: Path) -> None:
    async def run(server: RedisServer) -> tuple[str, str, list[float]]:
        held = provider(tmp_path)
        one, two = (connection(server, held, prefix="p") for _ in range(2))
        before = (await one.key()).identity
        await two.key()
        await one._client.flushall()
        waits = await draw(two, ONE) + await draw(one, ONE)
        after = (await one.key()).identity
        await one.close()
        await two.close()
        return before, after, waits

    with redis_server(tmp_path / "redis") as server:
        before, after, waits = asyncio.run(run(server))
    assert before == after
    assert waits == [0.0, 0.0]


@pytest.mark.parametrize(("password", "served"), [("right", True), ("wrong", False), ("", False)])
def test_a_password(tmp_path: Path, password: str, served: bool) -> None:
    file = tmp_path / "password"
    file.write_text(password)
    with redis_server(tmp_path / "redis", "--requirepass", "right") as server:
        store = connection(server, provider(tmp_path), password_file=file)
        if served:
            assert asyncio.run(drawn(store)) == [0.0]
        else:
            with pytest.raises(Unavailable):
                asyncio.run(drawn(store))


def test_tls_both_ways(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger")
    server_files, client_files = authority.issue("server"), authority.issue("vecguard")
    arguments = [
        *("--tls-ca-cert-file", str(authority.ca), "--tls-cert-file", str(server_files[0])),
        *("--tls-key-file", str(server_files[1]), "--tls-auth-clients", "yes"),
    ]
    mutual = {"certificate": client_files[0], "private_key": client_files[1]}
    with redis_server(tmp_path / "redis", *arguments, tls=True) as server:
        held = provider(tmp_path)
        assert asyncio.run(drawn(connection(server, held, ca=authority.ca, timeout_s=10, **mutual))) == [0.0]
        for wrong in ({"ca": stranger.ca, **mutual}, {"ca": authority.ca}):
            with pytest.raises(Unavailable):
                asyncio.run(drawn(connection(server, held, timeout_s=2, **wrong)))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "hangs"])
def test_a_store_that_is_away_and_comes_back(tmp_path: Path, how: str) -> None:
    async def run(server: RedisServer) -> tuple[float, float, int, list[float]]:
        store = connection(server, provider(tmp_path), timeout_s=2)
        back = asyncio.Event()
        store.returned = back.set
        assert await draw(store, ONE) == [0.0]
        server.stop() if how == "stopped" else server.hang()
        began = time.monotonic()
        with pytest.raises(Unavailable):
            await draw(store, ONE)
        first, began = time.monotonic() - began, time.monotonic()
        assert not store.reachable
        for _ in range(1_000):
            with pytest.raises(Unavailable):
                await draw(store, ONE)
        later = time.monotonic() - began
        server.start() if how == "stopped" else server.go_on()
        async with asyncio.timeout(60):
            await back.wait()
        left = [wait for _ in range(99) for wait in await draw(store, ONE)]
        await store.close()
        return first, later, store.failures, left

    with redis_server(tmp_path / "redis") as server:
        first, later, failures, left = asyncio.run(run(server))
    assert first < 20.0  # `timeout_s`, and some
    assert later < 20.0  # all thousand together: nobody waits for a store that is known to be away
    assert failures == 1
    # What was drawn before is remembered, over a restart too: of 100 one is gone. A server that hung may still have
    # done what was given up on.
    assert left[:98] == [0.0] * 98
    assert left[98] == 0.0 or how == "hangs"


def test_the_key_is_unwrapped_anew_within_its_lease_and_goes_on_while_that_fails(
    redis: RedisServer, tmp_path: Path
) -> None:
    class Provider(FileKeyProvider):
        """One that can be away."""

        asked, away = 0, False

        def unwrap(self, wrapped: bytes, context: bytes) -> Key:
            self.asked += 1
            if self.away:
                raise Unavailable("away")
            return super().unwrap(wrapped, context)

    file = tmp_path / "kek.key"
    FileKeyProvider.create(str(file), {})
    held, now = Provider(str(file), {}), [0.0]

    async def run() -> list[int]:
        store = connection(redis, LeasingProvider(held, 100.0, clock=lambda: now[0]), prefix="lease")
        key = await store.key()
        asked = [held.asked]
        # In the first half; in the second while the provider is away, and when it is back; again in a first half.
        for moment, away in ((40.0, False), (60.0, True), (70.0, False), (80.0, False)):
            now[0], held.away = moment, away
            await store.renew()
            assert await store.key() is key
            asked.append(held.asked)
        held.away, now[0] = True, 169.0
        assert await store.key() is key
        now[0] = 171.0
        with pytest.raises(Unavailable):
            await store.key()  # the lease is over
        await store.close()
        return asked

    assert [more - before for before, more in itertools.pairwise(asyncio.run(run()))] == [0, 1, 1, 0]
