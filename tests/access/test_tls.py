"""TLS of the listeners and towards the database, with certificates made here, against running servers."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from proxy.processes import until
from qdrant_client import grpc as q
from serving import Proxy, serving_proxy

from access.authority import Authority
from vecguard.config import Settings
from vecguard.errors import ConfigError
from vecguard.policy.credentials import hash_key
from vecguard.policy.load import loads
from vecguard.tls import ServerCertificates, ServerTls
from vecguard.wiring import require_authentication

KEY = "vgk_one"
POLICY = f"""
version: 1
access:
  api_keys: [{{name: one, hash: "{hash_key(KEY)}", roles: [read, write]}}]
  certificates: [{{name: batch, subject: "CN=batch", roles: [read, write]}}]
collections: [{{match: "*"}}]
"""
LIST = "/qdrant.Collections/List"


def grpc_status(port: int, credentials: grpc.ChannelCredentials | None, key: str | None = None) -> str:
    """How a call over gRPC ends."""
    target = f"localhost:{port}"
    opened = grpc.insecure_channel(target) if credentials is None else grpc.secure_channel(target, credentials)
    with opened as channel:
        metadata = () if key is None else (("api-key", key),)
        try:
            q.CollectionsStub(channel).List(q.ListCollectionsRequest(), timeout=60, metadata=metadata)
        except grpc.RpcError as error:
            name: str = error.code().name
            return name
    return "OK"


def rest_status(proxy: Proxy, context: ssl.SSLContext, key: str | None = None) -> int | str:
    headers = {} if key is None else {"api-key": key}
    try:
        answer = httpx.get(
            f"https://localhost:{proxy.rest_port}/collections", verify=context, headers=headers, timeout=60
        )
    except httpx.TransportError:
        return "refused"
    return answer.status_code


def trusting(ca: Path, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    if pair is not None:
        context.load_cert_chain(*pair)
    return context


def showing(ca: Path, pair: tuple[Path, Path] | None = None) -> grpc.ChannelCredentials:
    if pair is None:
        return grpc.ssl_channel_credentials(ca.read_bytes())
    return grpc.ssl_channel_credentials(ca.read_bytes(), pair[1].read_bytes(), pair[0].read_bytes())


def settings_file(folder: Path, text: str) -> Path:
    file = folder / "settings.yaml"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Authority]]:
    """A proxy with a certificate, that asks clients for none."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.issue("server")
    config = settings_file(folder, f"tls: {{certificate: {folder}/server.pem, key: {folder}/server.key}}\n")
    arguments = ["--config", str(config)]
    with serving_proxy(
        folder / "proxy", POLICY, rest=True, arguments=arguments, credentials=showing(authority.ca)
    ) as proxy:
        yield proxy, authority


def test_the_listeners_speak_tls_and_nothing_else(secured: tuple[Proxy, Authority], tmp_path: Path) -> None:
    proxy, authority = secured
    assert grpc_status(proxy.port, showing(authority.ca), KEY) == "OK"
    assert grpc_status(proxy.port, showing(authority.ca)) == "UNAUTHENTICATED"
    assert grpc_status(proxy.port, None, KEY) == "UNAVAILABLE"
    assert grpc_status(proxy.port, showing(Authority(tmp_path, "stranger").ca), KEY) == "UNAVAILABLE"
    assert rest_status(proxy, trusting(authority.ca), KEY) == 200
    assert rest_status(proxy, trusting(authority.ca)) == 401
    assert rest_status(proxy, trusting(Authority(tmp_path, "other").ca), KEY) == "refused"
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://localhost:{proxy.rest_port}/collections")
    assert "over TLS" in proxy.logs


def test_a_renewed_certificate_is_taken_up_and_half_a_renewal_is_not(secured: tuple[Proxy, Authority]) -> None:
    proxy, authority = secured
    folder = authority.ca.parent

    def shown() -> bytes:
        return ssl.get_server_certificate(("localhost", int(proxy.rest_port or 0))).encode()

    old = shown()
    key = (folder / "server.key").read_bytes()
    authority.issue("server")
    new = (folder / "server.pem").read_bytes()
    (folder / "server.key").write_bytes(key)  # the new certificate with the old key
    # The files are looked at as connections come in.
    until(lambda: shown() == old and "certificate not reloaded" in proxy.logs)
    assert shown() == old
    assert grpc_status(proxy.port, showing(authority.ca), KEY) == "OK"
    assert new.strip() != old.strip()
    authority.issue("server")
    until(lambda: shown().strip() == (folder / "server.pem").read_bytes().strip())
    assert grpc_status(proxy.port, showing(authority.ca), KEY) == "OK"
    # All of gRPC's new connections see it, too: under another CA, the old one's trust is not enough any more.
    Authority(folder, "next").issue("server")
    proxy.process.send_signal(signal.SIGHUP)
    until(lambda: grpc_status(proxy.port, showing(folder / "next.pem"), KEY) == "OK")
    assert grpc_status(proxy.port, showing(authority.ca), KEY) == "UNAVAILABLE"
    authority.issue("server")
    until(lambda: grpc_status(proxy.port, showing(authority.ca), KEY) == "OK")
    assert "certificate reloaded" in proxy.logs


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_client_certificates_are_asked_for_and_name_principals(tmp_path: Path, workers: str) -> None:
    server, clients = Authority(tmp_path, "server-ca"), Authority(tmp_path, "client-ca")
    server.issue("server")
    batch, other = clients.issue("batch"), clients.issue("other")
    stranger = Authority(tmp_path, "stranger-ca").issue("batch", "stranger")
    tls = f"certificate: {tmp_path}/server.pem, key: {tmp_path}/server.key, client_ca: {clients.ca}"
    config = settings_file(tmp_path, f"tls: {{{tls}}}\n")
    arguments = ["--config", str(config), "--workers", workers]
    with serving_proxy(
        tmp_path / "proxy", POLICY, rest=True, arguments=arguments, credentials=showing(server.ca, other)
    ) as proxy:
        assert grpc_status(proxy.port, showing(server.ca, batch)) == "OK"
        assert grpc_status(proxy.port, showing(server.ca, other)) == "UNAUTHENTICATED"
        assert grpc_status(proxy.port, showing(server.ca, other), KEY) == "OK"
        assert grpc_status(proxy.port, showing(server.ca, stranger)) == "UNAVAILABLE"
        assert grpc_status(proxy.port, showing(server.ca)) == "UNAVAILABLE"
        assert rest_status(proxy, trusting(server.ca, batch)) == 200
        assert rest_status(proxy, trusting(server.ca, other)) == 401
        assert rest_status(proxy, trusting(server.ca, stranger)) == "refused"
        assert rest_status(proxy, trusting(server.ca)) == "refused"
        until(lambda: '"principal":"batch"' in proxy.logs)  # lines are written some 50 ms after their calls


@pytest.mark.slow
def test_the_database_is_reached_over_tls_with_a_ca_a_certificate_and_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database here is a proxy of its own, which asks for a client certificate and for an api key."""
    authority = Authority(tmp_path)
    authority.issue("server")
    own = authority.issue("batch")
    tls = f"certificate: {tmp_path}/server.pem, key: {tmp_path}/server.key, client_ca: {authority.ca}"
    behind = settings_file(tmp_path, f"tls: {{{tls}}}\n")
    clear = POLICY.replace('{match: "*"}', '{match: "*", protect: none}').replace("CN=batch", "CN=nobody")
    with serving_proxy(
        tmp_path / "behind", clear, arguments=["--config", str(behind)], credentials=showing(authority.ca, own)
    ) as database:
        monkeypatch.setenv("VECGUARD_UPSTREAM_API_KEY", KEY)
        config = tmp_path / "front.yaml"
        config.write_text(f"upstream_tls: {{ca: {authority.ca}, certificate: {own[0]}, key: {own[1]}}}\n")
        upstream = f"qdrant://localhost:{database.port}?tls"
        with serving_proxy(tmp_path / "front", upstream=upstream, arguments=["--config", str(config)]) as proxy:
            assert grpc_status(proxy.port, None) == "OK"
    assert '"principal":"one"' in database.logs


def test_settings_that_let_in_anybody_from_the_network_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    tls = {"certificate": certificate, "key": key}
    with pytest.raises(ValueError, match="in clear"):
        Settings.model_validate({"listen": "0.0.0.0:6334"})
    keys, nobody = loads(POLICY), loads('version: 1\ncollections: [{match: "*"}]\n')
    open_to_all = Settings.model_validate({"listen": "0.0.0.0:6334", "tls": tls})
    require_authentication(open_to_all, keys)
    with pytest.raises(ConfigError, match="names no credential"):
        require_authentication(open_to_all, nobody)
    for word in ("allow_clear_network", "allow_anonymous_network"):
        require_authentication(Settings.model_validate({"listen": "0.0.0.0:6334", "tls": tls, word: True}), nobody)
    require_authentication(Settings(), nobody)
    with pytest.raises(ValueError, match="no upstream has"):
        Settings.model_validate({"upstream_tls": {"ca": authority.ca}})


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.issue("server")
    _, wrong = authority.issue("other")
    with pytest.raises(ConfigError, match="TLS certificate, key or client CA"):
        ServerCertificates(ServerTls(certificate=certificate, key=wrong))
    with pytest.raises(ConfigError, match=r"gone\.pem"):
        ServerCertificates(ServerTls(certificate=tmp_path / "gone.pem", key=wrong))
