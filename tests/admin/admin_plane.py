"""A running server and its control plane, as tests ask it."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from serving import Proxy
from typer.testing import CliRunner

from vecguard.cli import app


@dataclass
class Plane:
    """A running server with two workers, and its control plane."""

    proxy: Proxy
    address: str
    key: str

    def call(self, name: str, ask: object, answer: type, key: str | None = None) -> object:
        """Call a method with the key, or another."""
        with grpc.insecure_channel(self.address) as channel:
            method = channel.unary_unary(f"/vecguard.v1.Admin/{name}", type(ask).SerializeToString, answer.FromString)
            return method(ask, timeout=30, metadata=(("authorization", f"Bearer {self.key if key is None else key}"),))

    def cli(self, *arguments: str) -> str:
        """Run a command of an operator: exit status and what it says."""
        environment = {"VECGUARD_ADMIN_KEY": self.key, "COLUMNS": "200"}
        result = CliRunner().invoke(app, [*arguments, "--admin", self.address], env=environment)
        return f"{result.exit_code} {result.output}"
