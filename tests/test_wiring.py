"""Settings become a running worker; a key is made only where nothing can have been sealed with another."""

import asyncio
import base64
import io
import json

import grpc
import pytest
import structlog
from qdrant_client import grpc as q

from vecguard import wiring
from vecguard.config import Settings
from vecguard.errors import ConfigError
from vecguard.generation import Generation
from vecguard.keys.key import Key
from vecguard.model import Caller
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.trail import configure

POLICY = "version: 1\ncollections:\n  - match: {glob}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_file_is_made_once(folder):
    first, made = wiring.open_key(Settings())
    assert made
    assert (folder / "vecguard.key").stat().st_mode & 0o777 == 0o600
    second, made_again = wiring.open_key(Settings())
    assert not made_again
    assert first.key_id == second.key_id


def test_an_empty_data_folder_is_no_data(folder):
    (folder / "vecguard-data").mkdir()
    assert wiring.open_key(Settings())[1]


def test_a_key_is_not_made_where_an_older_one_may_have_sealed_data(folder):
    (folder / "vecguard-data" / "collections").mkdir(parents=True)
    with pytest.raises(ConfigError, match="there is data that was sealed with one"):
        wiring.open_key(Settings())
    assert not (folder / "vecguard.key").exists()


def test_a_damaged_key_file_is_not_replaced(folder):
    file = folder / "vecguard.key"
    file.write_text("damaged")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="damaged or not a key file"):
        wiring.open_key(Settings())
    assert file.read_text() == "damaged"


def test_a_key_may_come_from_the_environment(folder, monkeypatch):
    secret = Key.random()
    monkeypatch.setenv("MY_KEY", base64.b64encode(secret.expose()).decode())
    provider, made = wiring.open_key(Settings(key="environment:MY_KEY"))
    assert not made
    assert provider.unwrap(provider.wrap(secret, b"x"), b"x") == secret
    with pytest.raises(ConfigError, match="GONE"):
        wiring.open_key(Settings(key="environment:GONE"))


@pytest.mark.parametrize("key", ["sesame:x", "", "x", ":x"])
def test_an_unknown_key_provider_is_refused_by_name(folder, key):
    with pytest.raises(ConfigError, match="there is no key provider"):
        wiring.open_key(Settings(key=key))


# -- policy and callers ------------------------------------------------------------------------------------------------


def test_without_a_policy_file_everything_is_protected(folder):
    assert wiring.open_policy(Settings()).current is DEFAULT_POLICY


def test_a_policy_file_is_read_or_refused_with_the_line(folder):
    file = folder / "p.yaml"
    file.write_text(POLICY.format(glob="mine"))
    assert wiring.open_policy(Settings(policy=file)).current.collections[0].match == "mine"
    file.write_text("version: 1\ncolections: []\n")
    with pytest.raises(ConfigError, match=r"p\.yaml:2:1: colections"):
        wiring.open_policy(Settings(policy=file))


# -- a worker ----------------------------------------------------------------------------------------------------------


class Database(grpc.GenericRpcHandler):
    """Answers every call with an empty message, and remembers the metadata that came with it."""

    def service(self, details):
        self.metadata = dict(details.invocation_metadata)

        async def unary(body, context):
            return b""

        return grpc.unary_unary_rpc_method_handler(unary)


def health(settings, folder):
    """The metadata that the database sees when a client asks a worker for its health."""

    async def run():
        database, server = Database(), grpc.aio.server()
        server.add_generic_rpc_handlers((database,))
        server.add_insecure_port(f"unix:{folder}/db.sock")
        await server.start()
        upstream = wiring.connect(settings.upstream[0], f"unix:{folder}/db.sock", settings)
        await upstream.call("/qdrant.Qdrant/HealthCheck", q.HealthCheckRequest(), q.HealthCheckReply, Caller(10.0))
        await upstream.close()
        await server.stop(None)
        return database.metadata

    return asyncio.run(run())


def test_the_api_key_goes_to_a_remote_database_only(folder, monkeypatch):
    monkeypatch.setenv("VECGUARD_UPSTREAM_API_KEY", "k")
    assert health(Settings(upstream="qdrant://db:1"), folder)["api-key"] == "k"
    assert "api-key" not in health(Settings(), folder)
    monkeypatch.delenv("VECGUARD_UPSTREAM_API_KEY")
    assert "api-key" not in health(Settings(upstream="qdrant://db:1"), folder)


def test_a_remote_database_with_tls_is_never_spoken_to_in_clear(folder):
    async def run():
        listening = asyncio.get_running_loop().create_future()

        async def hears(reader, writer):
            if not listening.done():
                listening.set_result(await reader.read(5))
            writer.close()

        server = await asyncio.start_unix_server(hears, f"{folder}/db.sock")
        settings = Settings(upstream="qdrant://db:1?tls")
        upstream = wiring.connect(settings.upstream[0], f"unix:{folder}/db.sock", settings)
        call = upstream.call("/a/b", q.HealthCheckRequest(), q.HealthCheckReply, Caller(5.0))
        task = asyncio.create_task(call)
        first = await asyncio.wait_for(listening, 10)
        task.cancel()
        await upstream.close()
        server.close()
        return first

    assert asyncio.run(run())[:2] == b"\x16\x03"  # a TLS handshake record (RFC 8446, section 5.1)


def test_a_worker_serves_and_takes_a_new_policy(folder, monkeypatch):
    file = folder / "p.yaml"
    file.write_text(POLICY.format(glob="mine"))
    listen = f"unix:{folder}/w.sock"
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    settings = Settings(policy=file, rest="off").model_copy(update={"listen": listen})

    async def denied(channel, name):
        call = channel.unary_unary("/qdrant.Points/Count")
        try:
            await call(q.CountPoints(collection_name=name).SerializeToString(), timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code() == grpc.StatusCode.PERMISSION_DENIED

    async def run():
        worker = wiring.Worker(settings, {"qdrant": f"unix:{folder}/no-db.sock"}, Generation(None, 1, 0))
        await worker.start()
        async with grpc.aio.insecure_channel(listen) as channel:
            seen = [(await denied(channel, "mine"), await denied(channel, "other"))]
            file.write_text(POLICY.format(glob="other"))
            worker.reload()
            seen.append((await denied(channel, "mine"), await denied(channel, "other")))
            file.write_text("version: 7\n")
            worker.reload()
            seen.append((await denied(channel, "mine"), await denied(channel, "other")))
        await worker.close()
        return seen

    configure()
    try:
        assert asyncio.run(run()) == [(False, True), (True, False), (True, False)]
    finally:
        structlog.reset_defaults()
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    reloads = [event["event"] for event in events if "reload" in event["event"]]
    assert reloads == ["policy reloaded", "policy not reloaded"]
    assert any("p.yaml:1:" in text for event in events for text in event.get("errors", []))
    statuses = [event["status"] for event in events if event["event"] == "call"]
    assert statuses == ["UNAVAILABLE", "PERMISSION_DENIED"] + ["PERMISSION_DENIED", "UNAVAILABLE"] * 2


@pytest.mark.parametrize("wrong", [{"policy": "gone.yaml"}, {"key": "sesame:x"}])
def test_a_worker_does_not_start_on_bad_settings(folder, wrong):
    async def run():
        wiring.Worker(Settings(**wrong), {"qdrant": "unix:none"}, Generation(None, 1, 0))

    with pytest.raises(ConfigError):
        asyncio.run(run())
