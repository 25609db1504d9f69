"""TLS of the listeners and towards the database: certificates from PEM files, read again when they change.

A listener's certificate, key and client CA are looked at once a second at most, as connections come in, and at SIGHUP.
A pair that does not fit together (half of a renewal, say) leaves the one in use. With a client CA every client must
show a certificate that it signed (mTLS). Connections that are open keep what they were opened with.
"""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import structlog
from pydantic import BaseModel, ConfigDict, Field, model_validator

from vecguard.errors import ConfigError

if TYPE_CHECKING:  # the command line reads settings without gRPC
    import grpc

_CHECK_S: Final = 1.0
_log = structlog.get_logger("vecguard.tls")


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerTls(_Settings):
    """What the listeners show, and what they ask of clients. All files are PEM."""

    certificate: Path = Field(description="The certificate, followed by those between it and a CA that clients know.")
    key: Path = Field(description="Its private key, without a passphrase.")
    client_ca: Path | None = Field(
        default=None, description="CA certificates; clients must show a certificate that one of them signed."
    )


class UpstreamTls(_Settings):
    """How a remote database is trusted, and what it is shown. All files are PEM; read at the start."""

    ca: Path | None = Field(default=None, description="CA certificates, instead of those that gRPC brings.")
    certificate: Path | None = Field(default=None, description="A certificate of VecGuard's own, for the database.")
    key: Path | None = Field(default=None, description="Its private key.")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: give both or neither")
        return self


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Files as they were read: when each was changed, and what was made of them."""

    marks: tuple[tuple[int, int, int], ...]
    context: ssl.SSLContext
    configuration: grpc.ServerCertificateConfiguration


class ServerCertificates:
    """The newest certificate of the listeners. Safe to be asked from any thread: gRPC asks from its own."""

    def __init__(self, settings: ServerTls) -> None:
        """Raises `errors.ConfigError`: a file cannot be read, or they do not fit together."""
        self._settings = settings
        self._loading = threading.Lock()
        self._looked = time.monotonic()
        try:
            self._loaded = self._load()
        except (OSError, ssl.SSLError) as fault:
            raise ConfigError(f"TLS certificate, key or client CA cannot be used: {_said(fault)}") from None

    def refresh(self) -> None:
        """Read files that have changed; what cannot be used is reported in the log, and changes nothing."""
        with self._loading:
            self._looked = time.monotonic()
            try:
                if self._marks() == self._loaded.marks:
                    return
                self._loaded = self._load()
            except (OSError, ssl.SSLError) as fault:
                _log.error("certificate not reloaded", error=_said(fault))
                return
        _log.info("certificate reloaded", certificate=str(self._settings.certificate))

    def for_grpc(self) -> grpc.ServerCredentials:
        """Credentials of a gRPC listener, which asks for the newest certificate at each connection."""
        import grpc

        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration,
            lambda: self._newest().configuration,
            require_client_authentication=self._settings.client_ca is not None,
        )

    def for_http(self) -> ssl.SSLContext:
        """A context for an HTTP listener, which hands each connection to the newest one."""
        return _Newest(self)

    def _newest(self) -> _Loaded:
        if time.monotonic() - self._looked > _CHECK_S:
            self.refresh()
        return self._loaded

    @property
    def _files(self) -> tuple[Path, ...]:
        named = (self._settings.certificate, self._settings.key, self._settings.client_ca)
        return tuple(file for file in named if file is not None)

    def _marks(self) -> tuple[tuple[int, int, int], ...]:
        stats = [file.stat() for file in self._files]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _load(self) -> _Loaded:
        import grpc

        marks = self._marks()
        certificate, key, *ca = (file.read_bytes() for file in self._files)
        context = _server_context(self._settings)  # refuses a key that is not the certificate's
        configuration = grpc.ssl_server_certificate_configuration([(key, certificate)], ca[0] if ca else None)
        if marks != self._marks():
            raise OSError("the files were changed while they were read")
        return _Loaded(marks, context, configuration)


class _Newest(ssl.SSLContext):
    """A server's context that stands for whichever is the newest when a connection comes in."""

    certificates: ServerCertificates

    def __new__(cls, certificates: ServerCertificates) -> Self:
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.certificates = certificates
        return made

    def __init__(self, certificates: ServerCertificates) -> None:
        del certificates  # taken by `__new__`; the context of the base class is never used

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection: asyncio's way into a context."""
        return self.certificates._newest().context.wrap_bio(*arguments, **options)


def _server_context(settings: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.certificate, settings.key)
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def upstream_credentials(settings: UpstreamTls | None) -> grpc.ChannelCredentials:
    """Credentials of the channel to a remote database; gRPC's own CA certificates where `settings` name none.

    Raises:
        ConfigError: a file cannot be read.
    """
    import grpc

    settings = settings or UpstreamTls()
    try:
        ca, key, certificate = (
            None if file is None else file.read_bytes() for file in (settings.ca, settings.key, settings.certificate)
        )
    except OSError as fault:
        raise ConfigError(f"upstream_tls: {_said(fault)}") from None
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _said(fault: OSError) -> str:
    """What went wrong, and with which file; nothing of what is in it."""
    text = fault.strerror or str(fault)
    return f"{fault.filename}: {text}" if fault.filename else text
