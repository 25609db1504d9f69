"""What stands in the place of a manifest whose keys were destroyed. docs/formats.md §10 has it byte by byte."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vecguard.errors import Unreadable
from vecguard.keys.ring import MAX_EPOCH
from vecguard.seal import base64url

_SHREDDED: Final = "vgx1"


class Tombstone(BaseModel):
    """What stands in the place of a manifest's core whose keys were destroyed. Nobody is left to authenticate it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    uuid: uuid.UUID
    collection: str
    epochs: tuple[Annotated[int, Field(ge=1, le=MAX_EPOCH)], ...]
    time: datetime


def pack_tombstone(tombstone: Tombstone) -> str:
    """Text form of a tombstone."""
    body = json.dumps(tombstone.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return f"{_SHREDDED}.{base64url.encode(body.encode())}"


def is_shredded(text: str) -> bool:
    """Whether a core's text is a tombstone."""
    return text.startswith(f"{_SHREDDED}.")


def read_tombstone(text: str) -> Tombstone:
    """A tombstone out of its text form.

    Raises:
        Unreadable: it is malformed.
    """
    try:
        return Tombstone.model_validate_json(base64url.decode(text.removeprefix(f"{_SHREDDED}.")))
    except ValidationError:
        raise Unreadable from None
