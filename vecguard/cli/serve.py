"""`vecguard serve`: the proxy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vecguard.config import OFF, Embedded, FrontName, Remote, Settings, load_settings
from vecguard.deferred import CLIENT_PACKAGES, defer
from vecguard.errors import ConfigError, VecGuardError
from vecguard.policy.model import Policy

_BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def serve(
    listen: Annotated[str | None, typer.Option(help="gRPC address, HOST:PORT. [default: 127.0.0.1:6334]")] = None,
    milvus_listen: Annotated[
        str | None, typer.Option(help="Address of the Milvus protocol, HOST:PORT. [default: 127.0.0.1:19530]")
    ] = None,
    rest: Annotated[
        str | None, typer.Option(help="Qdrant's REST API, HOST:PORT, or `off`. [default: 127.0.0.1:6333]")
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            help="embedded:PATH, embedded-milvus:PATH, qdrant://HOST:PORT[?tls] or milvus://HOST:PORT[?tls]; "
            "once, or once for each protocol. [default: embedded:vecguard-data]"
        ),
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file. [default: the built-in policy]")] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Key provider: file:PATH, environment:NAME, or a key service. [default: file:vecguard.key]"),
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="Short for --key file:PATH.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Prometheus metrics, HOST:PORT, or `off`. [default: off]")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes. [default: 1]")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML); options here win over it.")] = None,
) -> None:
    """Serve the proxy until SIGTERM. SIGHUP reloads the policy."""
    # Spinning threads of a BLAS pool double the CPU of a call; scaling out is by worker processes. It has to be said
    # before numpy is first imported.
    for name in _BLAS_THREADS:
        os.environ.setdefault(name, "1")
    defer(*CLIENT_PACKAGES)
    from vecguard import process

    given = {
        "listen": listen,
        "milvus_listen": milvus_listen,
        "rest": rest,
        "upstream": upstream or None,
        "policy": policy,
        "key": f"file:{key_file}" if key_file is not None else key,
        "metrics": metrics,
        "workers": workers,
    }
    try:
        settings = load_settings(config, given)
        _require_spoken(settings, given)
        asyncio.run(process.run(settings, lambda rules, made: _greet(settings, rules, made)))
    except VecGuardError as failure:
        typer.echo(f"vecguard serve: {failure}", err=True)
        raise typer.Exit(1) from None


def _require_spoken(settings: Settings, given: Mapping[str, Any]) -> None:
    """Refuse an address for a protocol that is not served: what was meant would be listened for elsewhere.

    Raises:
        ConfigError: the command line has one.
    """
    of: dict[str, tuple[FrontName, str]] = {
        "listen": ("qdrant", "--milvus-listen"),
        "rest": ("qdrant", "--milvus-listen"),
        "milvus_listen": ("milvus", "--listen"),
    }
    for name, (front, instead) in of.items():
        if given[name] not in (None, OFF) and front not in settings.listeners:
            option, kind = f"--{name.replace('_', '-')}", front.capitalize()
            raise ConfigError(
                f"{option} is where {kind}'s protocol is served, and no --upstream is a {kind} database: say "
                f"{instead}, or give such an upstream"
            )


def _greet(settings: Settings, rules: Policy, made: bool) -> None:
    """Say in three lines what is served, what is protected, and which key opens it."""
    for line in greeting(settings, rules, made):
        typer.echo(line)


def greeting(settings: Settings, rules: Policy, made: bool) -> list[str]:
    """The three lines: where it listens and before what, what is protected and what is not, which key."""
    served = "; ".join(_served(settings, upstream) for upstream in settings.upstream)
    return [
        f"VecGuard listens on {served}",
        f"Protected: {_protected(rules)}{_clear(rules)}",
        f"Key: {settings.key}{' (new; back it up: without it the data cannot be read)' if made else ''}",
    ]


def _served(settings: Settings, upstream: Embedded | Remote) -> str:
    behind = upstream.data if isinstance(upstream, Embedded) else upstream.target
    listen = settings.listeners[upstream.front]
    rest = settings.rest_listen if upstream.front == "qdrant" else None
    secured = "" if settings.tls is None else " over TLS"
    faces = f"{listen} (gRPC{secured}" + (f") and {rest} (REST" if rest is not None else "")
    return f"{faces}, {settings.workers} worker(s)) before {upstream.kind} {behind}"


def _protected(rules: Policy) -> str:
    entries = [entry for entry in rules.collections if entry.protected]
    if not entries:
        return "NOTHING"
    vectors = [rule for entry in entries for rule in entry.vectors]
    ratios = ", ".join(f"{ratio:.3g}" for ratio in sorted({rule.noise_ratio() for rule in vectors}))
    noise = "without noise" if ratios == "0" else f"with noise of ratio {ratios}"
    payloads = [entry.payload for entry in entries]
    plain = any(payload.default == "plain" or "plain" in payload.fields.values() for payload in payloads)
    approximate = any(rule.rerank == "off" and rule.noise is not None for rule in vectors)
    return (
        f"collections {', '.join(f'`{entry.match}`' for entry in entries)}: vectors rotated {noise}, "
        f"payload encrypted by field{' but for the plain ones' if plain else ''}, "
        f"scores exact{' but where re-ranking is off' if approximate else ''}"
    )


def _clear(rules: Policy) -> str:
    clear = [f"`{entry.match}`" for entry in rules.collections if not entry.protected]
    return f"; IN CLEAR: {', '.join(clear)}" if clear else ""
