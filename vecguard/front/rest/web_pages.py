"""Requests that a web page in somebody's browser makes are refused: no page is a client of the database.

A listener at 127.0.0.1 is within reach of every page that is open on the same machine. There are two ways in. A page of
another origin may send simple requests (https://fetch.spec.whatwg.org/#http-origin: all of them but GET and HEAD carry
`Origin`), though it cannot read the answers. And a page whose own name its owner lets stand for 127.0.0.1 for a moment
(DNS rebinding) is of the same origin and reads all; its requests have that name in `Host`.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from vecguard.front.rest.refusals import Refusal

# Names below these belong to nobody on the internet (RFC 6761, 6762, 8375; ICANN's .internal) or to a local network.
_LOCAL: Final = ("localhost", "local", "internal", "test", "lan", "home.arpa", "localdomain")
_FORBIDDEN: Final = 403


def refuse(headers: Mapping[str, str], listening: str | None) -> None:
    """Go on only with a request that cannot come from a page; `listening` is the address that it came to.

    Raises:
        Refusal: it may come from one (403).
    """
    if "origin" in headers:
        raise Refusal(_FORBIDDEN, "Forbidden: requests from web pages (with the header Origin) are refused")
    host = headers.get("host", "")
    if _is_loopback(listening) and not _is_local_name(_without_port(host)):
        raise Refusal(
            _FORBIDDEN,
            f"Forbidden: a request to this machine alone came for the host `{host[:255]}`, as if of a web page that "
            "got here by DNS rebinding; call it localhost or 127.0.0.1, or listen on an address of the network",
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_loopback(listening: str | None) -> bool:
    address = _address(listening or "")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


def _is_local_name(name: str) -> bool:
    """Whether no page on the internet can have that name: an address, a name without a dot, or a local one."""
    name = name.lower().removesuffix(".")
    return "." not in name or _address(name) is not None or name.endswith(tuple(f".{end}" for end in _LOCAL))
