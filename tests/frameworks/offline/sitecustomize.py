"""Runs first in every script of the frameworks' tests: nothing may reach beyond this machine, telemetry included.

An audit hook (PEP 578) sees every name look-up and connection of Python code; it writes the host down and refuses.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_LOG = os.environ.get("VECGUARD_OUTWARD_LOG")
_HERE = ("127.0.0.1", "::1", "localhost", "")


def _refuse_outward(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if name is not None and name not in _HERE and _LOG is not None:
        with open(_LOG, "a", encoding="utf-8") as log:
            log.write(f"{name}\n")
        raise OSError(f"this script is offline, but asks for {name}")


if _LOG is not None:
    sys.addaudithook(_refuse_outward)
