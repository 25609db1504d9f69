"""Where alerts are posted to."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vecguard.errors import ConfigError
from vecguard.loopback import is_loopback

SECRET: Final = "VECGUARD_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with
_LEAST_BYTES, _MOST_BYTES = 24, 64


class WebhookSettings(BaseModel):
    """An address that gets each alert as a signed POST."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="https://..., or http:// at a loopback address.")
    secret_file: Path | None = Field(
        default=None, description=f"File with the signing secret, `whsec_` and base64; else {SECRET} holds it."
    )
    ca: Path | None = Field(default=None, description="CA of the receiver's certificate (PEM); else the system's.")
    timeout_s: float = Field(default=10.0, ge=0.1, le=60.0, allow_inf_nan=False, description="Seconds for one attempt.")
    attempts: int = Field(default=8, ge=1, le=20, description="How often one alert is tried; then it is given up.")
    queue: int = Field(
        default=1_000, ge=1, le=100_000, description="Alerts that wait in a worker; beyond it the oldest is given up."
    )

    @field_validator("url")
    @classmethod
    def _closed(cls, value: str) -> str:
        parts = urlsplit(value)
        # The text may hold a token of the receiver's, so it is not repeated.
        if parts.username is not None or parts.password is not None:
            raise ValueError("holds a password: the receiver knows us by the signature")
        if parts.scheme == "https" and parts.hostname:
            return value
        if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
            return value
        raise ValueError("is not https://HOST..., nor http:// at a loopback address")

    def secret(self) -> bytes:
        """The signing key. Raises ConfigError: there is none, or it is too short or too long."""
        text = os.environ.get(SECRET, "")
        if self.secret_file is not None:
            try:
                text = self.secret_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise ConfigError(f"webhook: secret file {self.secret_file} cannot be read") from None
        try:
            key = base64.b64decode(text.strip().removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not text.strip().startswith(SECRET_PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
            raise ConfigError(
                f"webhook: the signing secret is not `{SECRET_PREFIX}` and base64 of {_LEAST_BYTES} to {_MOST_BYTES} "
                f'bytes: `echo "{SECRET_PREFIX}$(openssl rand -base64 32)"` makes one'
            )
        return key
