"""Request ids: a client's own where it sends a usable one, else a new one; the trail has it and so has the client."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

HEADER: Final = "x-request-id"

# Ids go into logs and headers as they are, so only what is harmless there is taken.
_USABLE: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_RANDOM_BYTES: Final = 12


def request_id(metadata: Mapping[str, str]) -> str:
    """The id of a call with this metadata: 24 random hex digits where the client gave none that can be used."""
    given = metadata.get(HEADER)
    if given is not None and _USABLE.fullmatch(given):
        return given
    return os.urandom(_RANDOM_BYTES).hex()


def identified(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata with the call's id in it, whether or not the client gave one."""
    return {**metadata, HEADER: request_id(metadata)}
