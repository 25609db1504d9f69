"""Where shared state is kept, and what follows when it is not to be had."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vecguard.errors import ConfigError
from vecguard.loopback import is_loopback

PASSWORD: Final = "VECGUARD_STATE_PASSWORD"  # noqa: S105 - the name of a variable
_URL: Final = re.compile(
    r"(?P<scheme>rediss?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})(?:/(?P<db>[0-9]{1,5}))?"
    r"|unix:(?P<path>/.+)"
)
_LAST_PORT: Final = 65_535
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class StateSettings(BaseModel):
    """A Redis or Valkey server that workers and replicas share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="redis://HOST:PORT[/DB], rediss:// for TLS, or unix:/PATH; the password goes into a file or "
        f"{PASSWORD}, never in here."
    )
    username: str | None = Field(default=None, description="User of the server's access list.")
    password_file: Path | None = Field(default=None, description=f"File with the password, instead of {PASSWORD}.")
    ca: Path | None = Field(default=None, description="CA of the server's certificate (PEM); else the system's.")
    certificate: Path | None = Field(default=None, description="Our client certificate (PEM, with its chain).")
    private_key: Path | None = Field(default=None, description="Private key of the client certificate (PEM).")
    prefix: str = Field(default="vecguard", description="What all our keys begin with; deployments do not mix.")
    fail: Literal["closed", "local"] = Field(
        default="closed",
        description="While the store is away. closed: what needs it is refused (UNAVAILABLE). local: each process goes "
        "by what it knows itself, and adds it to the store when that is back.",
    )
    timeout_s: float = Field(
        default=0.25, ge=0.01, le=10.0, allow_inf_nan=False, description="Seconds to wait for the store's answer."
    )
    keep_days: float = Field(
        default=30.0, gt=0.0, le=3_650.0, allow_inf_nan=False, description="Days after which an idle profile is gone."
    )
    allow_clear_network: bool = Field(
        default=False, description="Reach a store beyond this machine without TLS (values are sealed all the same)."
    )

    @field_validator("url")
    @classmethod
    def _known(cls, value: str) -> str:
        found = _URL.fullmatch(value)
        if found is None or (found["port"] is not None and not 0 < int(found["port"]) <= _LAST_PORT):
            # The text may hold a password, so it is not repeated.
            raise ValueError("is not a store: write redis://HOST:PORT[/DB], rediss://HOST:PORT[/DB] or unix:/PATH")
        return value

    @field_validator("prefix")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not _PREFIX.fullmatch(value):
            raise ValueError("is of letters, digits, `.`, `_` and `-`, at most 64")
        return value

    @model_validator(mode="after")
    def _sound(self) -> StateSettings:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("`certificate` and `private_key` go together")
        if not self.tls and (self.ca is not None or self.certificate is not None):
            raise ValueError("`ca` and `certificate` need a url of rediss://")
        if not self.tls and not self.allow_clear_network and self.host is not None and not is_loopback(self.host):
            raise ValueError(
                "would send the password to another machine in clear: use rediss://, or say `allow_clear_network: true`"
            )
        return self

    @property
    def tls(self) -> bool:
        """Whether the connection is under TLS."""
        return self.url.startswith("rediss:")

    @property
    def host(self) -> str | None:
        """The server's host; None for a Unix socket."""
        host = self._parts["host"]
        return None if host is None else host.strip("[]")

    @property
    def port(self) -> int:
        """The server's port; 0 for a Unix socket."""
        return int(self._parts["port"] or 0)

    @property
    def database(self) -> int:
        """The number of the database in the server."""
        return int(self._parts["db"] or 0)

    @property
    def path(self) -> str | None:
        """The Unix socket, where it is one."""
        return self._parts["path"]

    @property
    def _parts(self) -> dict[str, str | None]:
        found = _URL.fullmatch(self.url)
        return {} if found is None else found.groupdict()

    def password(self) -> str | None:
        """The password, from its file or the environment. Raises ConfigError: the file cannot be read."""
        if self.password_file is None:
            return os.environ.get(PASSWORD) or None
        try:
            return self.password_file.read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"state: password file {self.password_file} cannot be read") from None
