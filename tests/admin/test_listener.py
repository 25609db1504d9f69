"""The control plane's port: mTLS lets in certificates of its CA alone, a Unix socket its user."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vecguard.admin.listener import AdminListener
from vecguard.config import AdminSettings
from vecguard.errors import ConfigError
from vecguard.v1 import admin_pb2 as v1

STATUS = "/vecguard.v1.Admin/GetStatus"


class Service:
    """Answers `GetStatus`, fails everything else: what stands behind a listener."""

    async def get_status(self, _: v1.GetStatusRequest) -> v1.GetStatusResponse:
        return v1.GetStatusResponse(version="1")

    async def watch_alerts(self, _: v1.WatchAlertsRequest) -> Any:
        yield v1.Alert(worker=7)

    def __getattr__(self, name: str) -> Any:
        async def fails(_: Any) -> None:
            raise RuntimeError("Ada Lovelace")

        return fails


class Authority:
    """A CA of a test, and what it signs, in PEM."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = self._write(f"{name}.crt", self._sign(self._name, self._key, ca=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and private key, for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        form, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
        pem = key.private_bytes(encoding, form, serialization.NoEncryption())
        return self._write(f"{name}.crt", self._sign(subject, key, ca=False)), self._write(f"{name}.pem", pem)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        builder = builder.not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        signed = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, content: bytes) -> Path:
        (self._folder / name).write_bytes(content)
        return self._folder / name


def serving(settings: AdminSettings, use: Callable[[AdminListener], Any]) -> Any:
    """Run `use(listener)` before a listener."""

    async def run() -> Any:
        listener = AdminListener(settings, Service())
        await listener.start()
        try:
            return await use(listener)
        finally:
            await listener.stop()

    return asyncio.run(run())


async def called(channel: grpc.aio.Channel, method: str = STATUS) -> bytes:
    async with channel:
        answer: bytes = await channel.unary_unary(method, None, None)(b"", timeout=60)
        return answer


def test_mutual_tls(tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    certificate, private_key = ours.issue("server")
    settings = AdminSettings(
        listen="127.0.0.1:0", certificate=certificate, private_key=private_key, client_ca=ours.file
    )

    def channel(listener: AdminListener, client: tuple[Path, Path] | None) -> grpc.aio.Channel:
        chain, key = (None, None) if client is None else (client[0].read_bytes(), client[1].read_bytes())
        credentials = grpc.ssl_channel_credentials(ours.file.read_bytes(), key, chain)
        return grpc.aio.secure_channel(f"127.0.0.1:{listener.port}", credentials)

    async def use(listener: AdminListener) -> None:
        assert v1.GetStatusResponse.FromString(await called(channel(listener, ours.issue("ada")))).version == "1"
        for stranger in (None, other.issue("eve")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await called(channel(listener, stranger))
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError):
            await called(grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}"))

    serving(settings, use)


def test_a_unix_socket_is_its_users_alone(tmp_path: Path) -> None:
    socket = tmp_path / "admin.sock"

    async def use(_: AdminListener) -> None:
        assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0
        assert await called(grpc.aio.insecure_channel(f"unix:{socket}"))

    serving(AdminSettings(listen=f"unix:{socket}"), use)


def test_a_bug_tells_its_client_nothing(tmp_path: Path) -> None:
    async def use(_: AdminListener) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await called(grpc.aio.insecure_channel(f"unix:{tmp_path}/s"), "/vecguard.v1.Admin/ListBlocks")
        assert (failed.value.code(), failed.value.details()) == (
            grpc.StatusCode.INTERNAL,
            "internal error in VecGuard",
        )
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await called(grpc.aio.insecure_channel(f"unix:{tmp_path}/s"), "/vecguard.v1.Admin/Nothing")
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED

    serving(AdminSettings(listen=f"unix:{tmp_path}/s"), use)


def test_files_that_are_not_there_are_an_error_of_the_settings(tmp_path: Path) -> None:
    async def make() -> None:
        settings = AdminSettings(
            listen="127.0.0.1:0", key="sha256:" + "0" * 64, certificate=tmp_path / "a", private_key=tmp_path / "b"
        )
        AdminListener(settings, Service())

    with pytest.raises(ConfigError, match="cannot be read"):
        asyncio.run(make())
