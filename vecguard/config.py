"""Server settings: where to listen, what lies behind, which policy and key; reads config file and environment."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vecguard.errors import ConfigError

DEFAULT_LISTEN: Final = "127.0.0.1:6334"
DEFAULT_KEY: Final = "file:vecguard.key"
UPSTREAM_API_KEY: Final = "VECGUARD_UPSTREAM_API_KEY"

_LAST_PORT: Final = 65_535
# A name, an IPv4 address, or an IPv6 address in brackets; no account and no path, which gRPC has no use for.
_QDRANT: Final = re.compile(
    r"qdrant://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})(?P<query>\?tls)?"
)


class EmbeddedUpstream(BaseModel):
    """The engine process of ours, on a data folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["embedded"] = "embedded"
    data: Path


class QdrantUpstream(BaseModel):
    """A Qdrant server's gRPC port."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["qdrant"] = "qdrant"
    target: str
    tls: bool = False


UpstreamAddress = Annotated[EmbeddedUpstream | QdrantUpstream, Field(discriminator="kind")]


def parse_upstream(text: str) -> EmbeddedUpstream | QdrantUpstream:
    """`embedded:PATH` or `qdrant://host:port[?tls]`.

    Raises:
        ValueError: neither.
    """
    if text.startswith("embedded:") and len(text) > len("embedded:"):
        return EmbeddedUpstream(data=Path(text.removeprefix("embedded:")))
    address = _QDRANT.fullmatch(text)
    if address is None or not 0 < int(address["port"]) <= _LAST_PORT:
        # The text may hold a password, so it is not repeated.
        raise ValueError("not an upstream: write embedded:PATH or qdrant://HOST:PORT[?tls]")
    return QdrantUpstream(target=f"{address['host']}:{address['port']}", tls=address["query"] is not None)


def host_and_port(listen: str) -> tuple[str, int]:
    """Split `HOST:PORT` (an IPv6 host in brackets).

    Raises:
        ValueError: it is not that.
    """
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise ValueError(f"`{listen}` is not an address to listen on: write HOST:PORT")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(BaseModel):
    """What `vecguard serve` runs with; also the keys of a `--config` file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = DEFAULT_LISTEN
    upstream: UpstreamAddress = EmbeddedUpstream(data=Path("vecguard-data"))
    policy: Path | None = None
    key: str = DEFAULT_KEY
    workers: int = Field(default=1, ge=1, le=256)
    max_message_mib: int = Field(default=64, ge=1, le=1024)
    allow_clear_network: bool = Field(
        default=False,
        description="Listen beyond this machine although there is neither TLS nor authentication on this listener.",
    )

    @field_validator("upstream", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return parse_upstream(value) if isinstance(value, str) else value

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        host_and_port(value)
        return value

    @model_validator(mode="after")
    def _closed_by_default(self) -> Settings:
        if not self.allow_clear_network and not is_loopback(host_and_port(self.listen)[0]):
            raise ValueError(
                f"listening on {self.listen} would accept vectors and text from the network in clear and from anybody: "
                "listen on 127.0.0.1, or say `allow_clear_network: true` in the config file"
            )
        return self


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
    """The api key for the database, from the environment."""
    return os.environ.get(UPSTREAM_API_KEY) or None
