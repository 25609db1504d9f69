"""`vecguard access`: API keys, hashes of passwords, and tokens of an issuer of one's own, for the policy's `access`."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vecguard.policy.credentials import hash_key, hash_password
from vecguard.policy.credentials import new_key as make_key

_ALGORITHM: Final = "ES256"

access_app = typer.Typer(help="Credentials of the policy's `access` section.", no_args_is_help=True)


@access_app.command("new-key")
def new_key(
    name: Annotated[str, typer.Argument(help="Who it is for, as the trail will call it.")],
    role: Annotated[list[str] | None, typer.Option(help="Its roles, once each. [default: read]")] = None,
) -> None:
    """Make an API key: the key goes to standard output, once; the entry for the policy to standard error."""
    key = make_key()
    typer.echo(key)
    typer.echo("# The key is shown this once. Below `access: api_keys:` in the policy:", err=True)
    roles = ", ".join(role or ["read"])
    typer.echo(f"    - name: {name}\n      hash: {hash_key(key)}\n      roles: [{roles}]", err=True)


@access_app.command("hash-password")
def hash_a_password(
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for when left out.")
    ],
) -> None:
    """Hash a password that somebody chose, for `access: accounts:`; it is asked for, and not shown."""
    typer.echo(hash_password(password))


@access_app.command("new-issuer")
def new_issuer(
    folder: Annotated[Path, typer.Argument(help="Where `issuer.key` (secret) and `jwks.json` (public) go.")],
) -> None:
    """Make the keys of a token issuer of your own, for trying out and for services without an OpenID provider."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    public: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    public |= {"kid": _key_id(public), "alg": _ALGORITHM, "use": "sig"}
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    secret, shown = folder / "issuer.key", folder / "jwks.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
        shown.write_text(json.dumps({"keys": [public]}, indent=2) + "\n", encoding="utf-8")
    except OSError as fault:
        typer.echo(f"vecguard access new-issuer: {fault.filename}: {fault.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{secret} signs tokens: keep it secret. {shown} checks them: `jwks: file:{shown}` in the policy.")


@access_app.command("token")
def token(
    key: Annotated[Path, typer.Option(help="The issuer's secret key, as `new-issuer` makes it.")],
    issuer: Annotated[str, typer.Option(help="`iss`, as the policy names it.")],
    audience: Annotated[str, typer.Option(help="`aud`, as the policy names it.")],
    subject: Annotated[str, typer.Option(help="`sub`: who it is.")],
    claim: Annotated[list[str] | None, typer.Option(help="A further claim, NAME=TEXT; once each.")] = None,
    seconds: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = 3600,
) -> None:
    """Sign a token, and print it."""
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pairs = [one.partition("=") for one in claim or []]
    if bad := next((name for name, equals, _ in pairs if not name or not equals), None):
        typer.echo(f"vecguard access token: --claim {bad}: write NAME=TEXT", err=True)
        raise typer.Exit(1)
    now = int(time.time())
    claims = {name: text for name, _, text in pairs}
    claims |= {"iss": issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + seconds}  # type: ignore[dict-item]
    try:
        secret = load_pem_private_key(key.read_bytes(), password=None)
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(secret.public_key()))  # type: ignore[arg-type]
        typer.echo(jwt.encode(claims, secret, algorithm=_ALGORITHM, headers={"kid": _key_id(public)}))  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError, jwt.PyJWTError) as fault:
        typer.echo(f"vecguard access token: the key {key} cannot be used ({type(fault).__name__})", err=True)
        raise typer.Exit(1) from None


def _key_id(public: dict[str, Any]) -> str:
    """The thumbprint of a public key (RFC 7638): SHA-256 of its required members in order, base64url."""
    members = {name: public[name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
