"""Server settings: where to listen, what lies behind, which policy and key; reads config file and environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vecguard.alerting.settings import WebhookSettings
from vecguard.errors import ConfigError
from vecguard.loopback import is_loopback
from vecguard.state.settings import StateSettings
from vecguard.tls import ServerTls, UpstreamTls

DEFAULT_LISTEN: Final = "127.0.0.1:6334"
DEFAULT_MILVUS_LISTEN: Final = "127.0.0.1:19530"
DEFAULT_REST: Final = "127.0.0.1:6333"
DEFAULT_ADMIN: Final = "127.0.0.1:6330"
OFF: Final = "off"
DEFAULT_KEY: Final = "file:vecguard.key"
UPSTREAM_API_KEY: Final = "VECGUARD_UPSTREAM_API_KEY"

FrontName: TypeAlias = Literal["qdrant", "milvus"]

_LAST_PORT: Final = 65_535
_UNIX: Final = "unix:"
_KEY_DIGEST: Final = re.compile(r"sha256:[0-9a-fA-F]{64}")
# A name, an IPv4 address, or an IPv6 address in brackets; no account and no path, which gRPC has no use for.
_REMOTE: Final = re.compile(
    r"(?P<kind>qdrant|milvus)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})(?P<query>\?tls)?"
)


class _Upstream(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EmbeddedUpstream(_Upstream):
    """The engine process of ours, on a data folder."""

    kind: Literal["embedded"] = "embedded"
    front: ClassVar[FrontName] = "qdrant"
    data: Path


class EmbeddedMilvusUpstream(_Upstream):
    """Milvus Lite in a process of its own, on a data folder."""

    kind: Literal["embedded-milvus"] = "embedded-milvus"
    front: ClassVar[FrontName] = "milvus"
    data: Path


class QdrantUpstream(_Upstream):
    """A Qdrant server's gRPC port."""

    kind: Literal["qdrant"] = "qdrant"
    front: ClassVar[FrontName] = "qdrant"
    target: str
    tls: bool = False


class MilvusUpstream(_Upstream):
    """A Milvus server's port."""

    kind: Literal["milvus"] = "milvus"
    front: ClassVar[FrontName] = "milvus"
    target: str
    tls: bool = False


Embedded: TypeAlias = EmbeddedUpstream | EmbeddedMilvusUpstream
Remote: TypeAlias = QdrantUpstream | MilvusUpstream
UpstreamAddress = Annotated[Embedded | Remote, Field(discriminator="kind")]
_EMBEDDED: Final[Mapping[str, type[Embedded]]] = {
    "embedded": EmbeddedUpstream,
    "embedded-milvus": EmbeddedMilvusUpstream,
}
_SERVERS: Final[Mapping[str, type[Remote]]] = {"qdrant": QdrantUpstream, "milvus": MilvusUpstream}


def parse_upstream(text: str) -> Embedded | Remote:
    """`embedded:PATH`, `embedded-milvus:PATH`, `qdrant://host:port[?tls]` or `milvus://host:port[?tls]`.

    Raises:
        ValueError: none of these.
    """
    kind, _, path = text.partition(":")
    if kind in _EMBEDDED and path:
        return _EMBEDDED[kind](data=Path(path))
    address = _REMOTE.fullmatch(text)
    if address is None or not 0 < int(address["port"]) <= _LAST_PORT:
        # The text may hold a password, so it is not repeated.
        raise ValueError(
            "not an upstream: write embedded:PATH, embedded-milvus:PATH, qdrant://HOST:PORT[?tls] "
            "or milvus://HOST:PORT[?tls]"
        )
    target = f"{address['host']}:{address['port']}"
    return _SERVERS[address["kind"]](target=target, tls=address["query"] is not None)


def host_and_port(listen: str) -> tuple[str, int]:
    """Split `HOST:PORT` (an IPv6 host in brackets).

    Raises:
        ValueError: it is not that.
    """
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise ValueError(f"`{listen}` is not an address to listen on: write HOST:PORT")
    return host.strip("[]"), int(port)


class AdminSettings(BaseModel):
    """Where the control plane is served, and to whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field(
        default=DEFAULT_ADMIN, description="HOST:PORT, or unix:PATH for users who may open that socket."
    )
    key: str | None = Field(
        default=None, description="`sha256:HEX` of the admin key, as `vecguard access new-key` prints it."
    )
    certificate: Path | None = Field(default=None, description="Server certificate (PEM, with its chain).")
    private_key: Path | None = Field(default=None, description="Private key of the certificate (PEM).")
    client_ca: Path | None = Field(default=None, description="Only clients with a certificate of this CA (PEM).")
    blocks: Path | None = Field(
        default=None, description="File of blocked principals, kept over restarts; else they are forgotten at a stop."
    )

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        if not value.startswith(_UNIX):
            host_and_port(value)
        return value

    @field_validator("key")
    @classmethod
    def _digest(cls, value: str | None) -> str | None:
        if value is not None and not _KEY_DIGEST.fullmatch(value):
            raise ValueError("is not `sha256:` with 64 hexadecimal digits: `vecguard access new-key NAME` prints one")
        return value

    @model_validator(mode="after")
    def _closed(self) -> AdminSettings:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("`certificate` and `private_key` go together")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("`client_ca` needs `certificate` and `private_key`")
        if self.listen.startswith(_UNIX):
            return self
        if self.key is None and self.client_ca is None:
            raise ValueError(
                "says not who may use the control plane: give `key` or `client_ca`, or listen on unix:PATH"
            )
        if self.certificate is None and not is_loopback(host_and_port(self.listen)[0]):
            raise ValueError(
                f"listening on {self.listen} would send the admin key over the network in clear: give `certificate`"
            )
        return self


class Settings(BaseModel):
    """What `vecguard serve` runs with; also the keys of a `--config` file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = DEFAULT_LISTEN
    milvus_listen: str = DEFAULT_MILVUS_LISTEN
    rest: str = Field(default=DEFAULT_REST, description="Where Qdrant's REST API is served, HOST:PORT, or `off`.")
    upstream: tuple[UpstreamAddress, ...] = Field(
        default=(EmbeddedUpstream(data=Path("vecguard-data")),),
        min_length=1,
        description="The databases behind: one address, or one for each protocol.",
    )
    policy: Path | None = None
    key: str = DEFAULT_KEY
    former_keys: tuple[str, ...] = Field(
        default=(),
        description="Key providers that are only asked for data keys which `key` does not unwrap, while "
        "`vecguard keys rewrap` changes the key-encryption key.",
    )
    key_lease_s: float = Field(
        default=3600.0,
        ge=1.0,
        le=7 * 86_400.0,
        allow_inf_nan=False,
        description="Seconds that an unwrapped data key is used before the key provider must unwrap it anew.",
    )
    workers: int = Field(default=1, ge=1, le=256)
    max_message_mib: int = Field(default=64, ge=1, le=1024)
    max_calls: int = Field(
        default=256, ge=1, le=100_000, description="Calls that a listener of a worker serves at once, and no more."
    )
    max_connections: int = Field(
        default=1_000, ge=1, le=1_000_000, description="Connections that the REST listener of a worker has at once."
    )
    max_inflight_mib: int = Field(
        default=512, ge=1, le=1 << 20, description="Bytes of requests that a worker serves at once, and no more."
    )
    metrics: str = Field(
        default=OFF, description="Where Prometheus may fetch metrics, HOST:PORT, or `off`. Names and counts, no data."
    )
    metrics_collections: int = Field(
        default=100, ge=0, le=10_000, description="Collections that metrics tell apart; others are counted together."
    )
    allow_open_metrics: bool = Field(
        default=False,
        description="Serve metrics beyond this machine, in clear and to anybody: names of methods and collections.",
    )
    traces: bool = Field(
        default=False,
        description="Send OpenTelemetry traces, as OTEL_* variables say (`pip install 'vecguard[otel]'`).",
    )
    admin: AdminSettings | None = Field(default=None, description="The control plane; off where it is left out.")
    state: StateSettings | None = Field(
        default=None,
        description="A Redis or Valkey server in which workers and replicas keep rates, budgets and risks together; "
        "left out, each process has its own.",
    )
    rollback_memory: Path | None = Field(
        default=None,
        description="File in which is remembered what is newest, for `rollback: detect` on one host alone; left out, "
        "that is in `state`.",
    )
    webhook: WebhookSettings | None = Field(default=None, description="Where alerts are posted to, signed.")
    trail_folder: Path | None = Field(
        default=None, description="Folder to which the trail is also written, so that no change goes unnoticed."
    )
    trail_file_mib: int = Field(default=64, ge=1, le=4096, description="Size of a file in `trail_folder`, in MiB.")
    tls: ServerTls | None = Field(default=None, description="TLS of all listeners but that of metrics.")
    upstream_tls: UpstreamTls | None = Field(default=None, description="TLS towards upstreams with `?tls`.")
    retention_sweep_s: float = Field(
        default=300.0,
        ge=1.0,
        le=7 * 86_400.0,
        allow_inf_nan=False,
        description="Seconds between two sweeps that delete records which are too old to be kept.",
    )
    detection_memory_mib: int = Field(
        default=512,
        ge=1,
        le=1 << 20,
        description="Memory of a worker for what detection remembers of principals (docs/detection.md).",
    )
    detection_log: Path | None = Field(
        default=None,
        description="Folder to which detection's observations are written, for `vecguard replay`: names of principals "
        "and collections, hashes and sketches.",
    )
    detection_log_mib: int = Field(default=64, ge=1, le=4096, description="Size of a file there, in MiB.")
    detection_log_files: int = Field(default=16, ge=2, le=100_000, description="Files that each worker keeps there.")
    allow_clear_network: bool = Field(
        default=False,
        description="Listen beyond this machine although there is no TLS, or no authentication, or neither.",
    )
    allow_anonymous_network: bool = Field(
        default=False,
        description="Listen beyond this machine, with TLS, although the policy names no credential.",
    )

    @field_validator("upstream", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        given = value if isinstance(value, list | tuple) else [value]
        return tuple(parse_upstream(one) if isinstance(one, str) else one for one in given)

    @field_validator("upstream")
    @classmethod
    def _one_each(cls, value: tuple[Embedded | Remote, ...]) -> tuple[Embedded | Remote, ...]:
        if len({upstream.front for upstream in value}) < len(value):
            raise ValueError("one upstream for each protocol: two of the same were given")
        return value

    @field_validator("listen", "milvus_listen")
    @classmethod
    def _address(cls, value: str) -> str:
        host_and_port(value)
        return value

    @field_validator("rest", "metrics", mode="before")
    @classmethod
    def _address_or_off(cls, value: Any) -> Any:
        if value is False or value == OFF:  # YAML reads a bare `off` as false
            return OFF
        if isinstance(value, str):
            host_and_port(value)
        return value

    @model_validator(mode="after")
    def _closed_by_default(self) -> Settings:
        if self.tls is None and not self.allow_clear_network and self.open_addresses:
            raise ValueError(
                f"listening on {self.open_addresses[0]} would accept vectors and text from the network in clear: give "
                "`tls` in the config file, listen on 127.0.0.1, or say `allow_clear_network: true` there"
            )
        if self.upstream_tls is not None and not any(isinstance(one, Remote) and one.tls for one in self.upstream):
            raise ValueError("upstream_tls: no upstream has `?tls`, so it would not be used")
        metrics = self.metrics_listen
        if metrics is not None and not self.allow_open_metrics and not is_loopback(host_and_port(metrics)[0]):
            raise ValueError(
                f"metrics at {metrics} would tell names of methods and collections to the network: serve them on "
                "127.0.0.1, or say `allow_open_metrics: true` in the config file"
            )
        return self

    @property
    def metrics_listen(self) -> str | None:
        """Where metrics are served; None where they are off."""
        return None if self.metrics == OFF else self.metrics

    @property
    def listeners(self) -> dict[FrontName, str]:
        """Where each protocol that has a database behind it is listened for."""
        addresses: dict[FrontName, str] = {"qdrant": self.listen, "milvus": self.milvus_listen}
        return {upstream.front: addresses[upstream.front] for upstream in self.upstream}

    @property
    def rest_listen(self) -> str | None:
        """Where Qdrant's REST API is listened for; None where it is off, or no Qdrant database lies behind."""
        return self.rest if self.rest != OFF and "qdrant" in self.listeners else None

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses that are listened on."""
        rest = () if self.rest_listen is None else (self.rest_listen,)
        return (*self.listeners.values(), *rest)

    @property
    def open_addresses(self) -> tuple[str, ...]:
        """Those of them that other machines can reach."""
        sockets = tuple(listen for listen in self.addresses if listen.startswith("unix:"))
        return tuple(
            listen for listen in self.addresses if listen not in sockets and not is_loopback(host_and_port(listen)[0])
        )


def load_settings(file: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Settings from a YAML file, overridden by what the command line gives (None: not given).

    Raises:
        ConfigError: the file cannot be read, or a setting is wrong; says which.
    """
    given: dict[str, Any] = {}
    if file is not None:
        try:
            loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as fault:
            raise ConfigError(f"config file {file} cannot be read: {fault.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as fault:
            raise ConfigError(f"config file {file} is not valid YAML: {fault}") from None
        if loaded is not None and not isinstance(loaded, dict):
            raise ConfigError(f"config file {file} must hold a mapping of settings")
        given.update(loaded or {})
    given.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(given)
    except ValidationError as fault:
        texts = [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in fault.errors()]
        raise ConfigError("; ".join(texts)) from None


def upstream_api_key() -> str | None:
    """The credential for the database, from the environment: Qdrant's api key, or Milvus' token or `user:password`."""
    return os.environ.get(UPSTREAM_API_KEY) or None
