"""The control plane, as the commands of an operator reach it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, cast

import grpc
import typer

KEY: Final = "VECGUARD_ADMIN_KEY"
CERTIFICATES: Final = ("VECGUARD_ADMIN_CERTIFICATE", "VECGUARD_ADMIN_PRIVATE_KEY")
_CALL_S: Final = 30.0
_METHOD: Final = "/vecguard.v1.Admin/"

Address: TypeAlias = Annotated[str, typer.Option("--admin", help="The control plane: HOST:PORT or unix:PATH.")]
Ca: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="TLS, with a server certificate of this CA (PEM); a client certificate is read from the files that "
        f"{CERTIFICATES[0]} and {CERTIFICATES[1]} name."
    ),
]


class Remote:
    """The control plane, from afar."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        key = os.environ.get(KEY)
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()

    def call(self, name: str, ask: Any, answer: Any) -> Any:
        """Call a method. Raises grpc.RpcError."""
        method = self.channel.unary_unary(_METHOD + name, type(ask).SerializeToString, answer.FromString)
        return method(ask, timeout=_CALL_S, metadata=self._metadata)

    def stream(self, name: str, ask: Any, answer: Any) -> Iterator[Any]:
        """Call a method that answers with a stream, for as long as that goes on. Raises grpc.RpcError."""
        method = self.channel.unary_stream(_METHOD + name, type(ask).SerializeToString, answer.FromString)
        yield from method(ask, metadata=self._metadata)


@contextmanager
def connected(address: str, ca: Path | None) -> Iterator[Remote]:
    """The control plane; what it refuses is said, with exit status 1."""
    try:
        with _channel(address, ca) as channel:
            yield Remote(channel)
    except grpc.RpcError as error:
        failed = cast("grpc.Call", error)  # the errors of calls are calls
        typer.echo(f"vecguard: {address}: {failed.code().name}: {failed.details()}", err=True)
        raise typer.Exit(1) from None
    except OSError as fault:
        typer.echo(f"vecguard: {fault.filename}: {fault.strerror}", err=True)
        raise typer.Exit(1) from None


def _channel(address: str, ca: Path | None) -> grpc.Channel:
    if ca is None:
        return grpc.insecure_channel(address)
    files = [os.environ.get(name) for name in CERTIFICATES]
    chain, key = (None if file is None else Path(file).read_bytes() for file in files)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read_bytes(), key, chain))


def time_of(stamp: Any) -> str:
    moment: datetime = stamp.ToDatetime(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
