"""JSON Web Tokens (RFC 7519) of the issuers that the policy names, checked as RFC 8725 asks.

The algorithm has to be in the policy's list, fit the key, and agree with the key's own `alg`; issuer, audience and
expiry are required; what a token says of its own keys (`jku`, `x5u`, `jwk`) is not looked at.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from vecguard.access.jwks import Jwk, KeySet
from vecguard.errors import Unauthenticated
from vecguard.model import Principal, Value
from vecguard.policy.access import JwtIssuer

_REFUSED: Final = "the token is not valid here"
_MOST_VALUES: Final = 1_000
_REMEMBERED: Final = 10_000
Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Good:
    """A token that was checked: under which rule, with the keys of which fetch, and when it expires."""

    principal: Principal
    issuer: JwtIssuer
    keys: float | None
    until: float


class Tokens:
    """Checks tokens; keeps the key sets of issuers."""

    def __init__(self) -> None:
        self._sets: dict[tuple[str, int], KeySet] = {}
        # Tokens found good, by their SHA-256: checking a signature takes longer than the rest of a small call.
        self._good: OrderedDict[bytes, _Good] = OrderedDict()

    async def principal(self, token: str, issuers: tuple[JwtIssuer, ...]) -> Principal:
        """The principal that a token speaks of.

        Raises:
            Unauthenticated: it is not a valid token of any of the issuers.
            Unavailable: the issuer's keys cannot be fetched.
        """
        header, issuer = _whose(token, issuers)
        place = (issuer.jwks, issuer.refresh_s)
        keys = self._sets.get(place)
        if keys is None:
            keys = self._sets[place] = KeySet(*place)
        found = await keys.find(header.get("kid"))
        digest = hashlib.sha256(token.encode()).digest()
        good = self._good.get(digest)
        if good is not None and good.issuer is issuer and good.keys == keys.fetched and good.until > time.time():
            return good.principal
        claims = _checked(token, header, found, issuer)
        principal = _principal(claims, issuer)
        self._good[digest] = _Good(principal, issuer, keys.fetched, float(claims["exp"]))
        while len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)
        return principal


def _whose(token: str, issuers: tuple[JwtIssuer, ...]) -> tuple[dict[str, Any], JwtIssuer]:
    """Header and issuer of a token, before anything is verified: they say how it has to be."""
    try:
        header = jwt.get_unverified_header(token)
        said = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthenticated(_REFUSED) from None
    issuer = next((issuer for issuer in issuers if issuer.issuer == said), None)
    if issuer is None or header.get("alg") not in issuer.algorithms or "crit" in header:
        raise Unauthenticated(_REFUSED)
    return header, issuer


def _checked(token: str, header: Mapping[str, Any], keys: list[Jwk], issuer: JwtIssuer) -> Claims:
    """The claims, if one of the keys signed them and they hold now."""
    algorithm = str(header["alg"])
    for key in keys:
        if key.get("alg", algorithm) != algorithm:
            continue
        try:
            claims: Claims = jwt.decode(
                token,
                jwt.PyJWK(key, algorithm=algorithm),
                algorithms=[algorithm],
                audience=issuer.audience,
                issuer=issuer.issuer,
                leeway=issuer.leeway_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            continue
        if float(claims["exp"]) > time.time() + issuer.max_age_s + issuer.leeway_s:
            raise Unauthenticated("the token lives longer than the policy allows")
        return claims
    raise Unauthenticated(_REFUSED)


def _principal(claims: Claims, issuer: JwtIssuer) -> Principal:
    name = _at(claims, issuer.name_claim)
    if not isinstance(name, str) or not name:
        raise Unauthenticated(f"the token has no claim `{issuer.name_claim}`")
    roles = set(issuer.roles)
    if issuer.roles_claim is not None:
        roles.update(value for value in _values(_at(claims, issuer.roles_claim), split=True) if isinstance(value, str))
    attributes = {name: _values(_at(claims, claim)) for name, claim in issuer.attributes.items()}
    return Principal(name, frozenset(roles), "jwt", attributes)


def _at(claims: Claims, path: str) -> Any:
    """A claim by its name; a name with dots that is no claim reaches into objects."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _values(claim: Any, *, split: bool = False) -> tuple[Value, ...]:
    """The simple values of a claim; `split`: of a text, its words (as in `scope`, RFC 8693)."""
    if isinstance(claim, str):
        return tuple(claim.split()) if split else (claim,)
    if isinstance(claim, int):  # and true and false
        return (claim,)
    if isinstance(claim, list):
        return tuple(value for value in claim[:_MOST_VALUES] if isinstance(value, str | int))
    return ()
