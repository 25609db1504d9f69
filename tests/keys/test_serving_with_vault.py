"""`vecguard serve` with its KEK in Vault: through an outage within the lease, closed after it, and open again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from proxy.byte_search import every_byte
from proxy.processes import until
from qdrant_client import models
from sealing import SymmetricKey
from serving import Proxy, _launch, free_port
from vault_server import TOKEN, VaultServer

pytestmark = pytest.mark.slow

LEASE_S = 6.0


@pytest.fixture
def vault_server() -> Iterator[VaultServer]:
    server = VaultServer()
    server.keys["kek"] = SymmetricKey()
    yield server
    server.close()


@pytest.fixture
def proxy_with_vault(vault_server: VaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    key = f"vault:http://127.0.0.1:{vault_server.port}/v1/transit/keys/kek"
    settings, port, data, log = tmp_path / "config.yaml", free_port(), tmp_path / "data", tmp_path / "proxy.log"
    settings.write_text(f"key: {key}\nkey_lease_s: {LEASE_S}\nupstream: embedded:{data}\nrest: off\n")
    command = ["vecguard", "serve", "--listen", f"127.0.0.1:{port}", "--config", str(settings)]
    server = Proxy(_launch(command, log), port, data, log)
    try:
        server.wait_until_healthy()
        yield server
    finally:
        server.stop()


def status_of(proxy: Proxy) -> str:
    client = proxy.client()
    try:
        client.query_points("notes", query=[1.0, 0.0, 0.0, 0.0], limit=1, timeout=30)
    except grpc.RpcError as error:
        return error.code().name
    finally:
        client.close()
    return "OK"


def test_an_outage_of_vault(proxy_with_vault: Proxy, vault_server: VaultServer) -> None:
    proxy, client = proxy_with_vault, proxy_with_vault.client()
    client.create_collection("notes", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
    client.upsert("notes", [models.PointStruct(id=1, vector=[1, 0, 0, 0], payload={"text": "a note"})], wait=True)
    began = time.monotonic()
    assert status_of(proxy) == "OK"
    vault_server.sealed = True
    while True:
        status = status_of(proxy)
        if time.monotonic() - began > LEASE_S / 2:  # of a lease that may have been half over when this began
            break
        assert status == "OK"
        time.sleep(0.2)
    while (status := status_of(proxy)) == "OK":
        assert time.monotonic() - began < LEASE_S + 120
        time.sleep(0.2)
    assert status == "UNAVAILABLE"
    with pytest.raises(grpc.RpcError) as refused:
        client.create_collection("more", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "the key provider cannot be reached" in (refused.value.details() or "")
    vault_server.sealed = False
    began = time.monotonic()
    while status_of(proxy) != "OK":
        assert time.monotonic() - began < 120
        time.sleep(0.2)
    assert client.retrieve("notes", [1])[0].payload == {"text": "a note"}
    client.close()
    assert "key provider failed" in proxy.logs
    assert TOKEN not in proxy.logs
    assert TOKEN.encode() not in every_byte(proxy.data)


def test_a_restart_needs_vault(proxy_with_vault: Proxy, vault_server: VaultServer) -> None:
    client = proxy_with_vault.client()
    client.create_collection("notes", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
    client.close()
    proxy_with_vault.stop()
    vault_server.sealed = True
    proxy_with_vault.process = _launch(
        [
            *("vecguard", "serve", "--listen", proxy_with_vault.target),
            "--config",
            f"{proxy_with_vault.log.parent}/config.yaml",
        ],
        proxy_with_vault.log,
    )
    proxy_with_vault.wait_until_healthy()
    assert status_of(proxy_with_vault) == "UNAVAILABLE"
    vault_server.sealed = False
    until(lambda: status_of(proxy_with_vault) == "OK")
    assert os.environ["VAULT_TOKEN"] not in proxy_with_vault.logs
