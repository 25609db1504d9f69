"""Real servers for tests: the engine alone, and `vecguard serve` before an engine, each a process on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from ports import free_port
from qdrant_client import AsyncQdrantClient, QdrantClient
from qdrant_client import grpc as pb

START_S = 180.0
STOP_S = 45.0
CALL_S = 60
MESSAGE_BYTES = 256 * 1024 * 1024


@dataclass
class Server:
    """A process that answers Qdrant's gRPC API on a loopback port."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path
    """Folder of the engine's data."""
    log: Path
    """File with all that the process wrote to stdout and stderr."""
    credentials: grpc.ChannelCredentials | None = None
    """What a raw channel is opened with, where the listener speaks TLS."""

    @property
    def target(self) -> str:
        """The gRPC target."""
        return f"127.0.0.1:{self.port}"

    @property
    def logs(self) -> str:
        """What the process has written so far."""
        return self.log.read_text(errors="replace")

    def client(self) -> QdrantClient:
        """A new ordinary client; close it."""
        return QdrantClient(
            host="127.0.0.1", grpc_port=self.port, prefer_grpc=True, check_compatibility=False, timeout=CALL_S
        )

    def async_client(self) -> AsyncQdrantClient:
        """A new ordinary asynchronous client; close it."""
        return AsyncQdrantClient(
            host="127.0.0.1", grpc_port=self.port, prefer_grpc=True, check_compatibility=False, timeout=CALL_S
        )

    @contextlib.contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """A raw channel, for messages that the ordinary client does not send."""
        limits = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
        with self._opened(limits) as channel:
            yield channel

    def _opened(self, options: Sequence[tuple[str, int]] = ()) -> grpc.Channel:
        if self.credentials is None:
            return grpc.insecure_channel(self.target, options=options)
        return grpc.secure_channel(f"localhost:{self.port}", self.credentials, options=options)

    def wait_until_healthy(self) -> None:
        """Return when the server answers; fail with the end of its log if it ends or stays silent."""
        deadline = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            with self._opened() as channel:
                try:
                    pb.QdrantStub(channel).HealthCheck(pb.HealthCheckRequest(), timeout=10.0)
                    return
                except grpc.RpcError as error:
                    if error.code() == grpc.StatusCode.UNAUTHENTICATED:  # it is up, and wants a credential
                        return
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"the server did not start; its log ends with:\n{self.logs[-4000:]}")

    def stop(self) -> int:
        """End the process as an operator does (SIGTERM); kill it only if it does not end. Returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@dataclass
class Proxy(Server):
    """`vecguard serve` and what it runs with."""

    policy: Path | None = None
    key_file: Path | None = None
    rest_port: int | None = None
    """The port of the REST API, where it is served."""

    @property
    def url(self) -> str:
        """The URL of the REST API."""
        return f"http://127.0.0.1:{self.rest_port}"

    def rest_client(self) -> QdrantClient:
        """A new ordinary client that speaks REST; close it."""
        return QdrantClient(url=self.url, timeout=CALL_S)

    def async_rest_client(self) -> AsyncQdrantClient:
        """A new ordinary asynchronous client that speaks REST; close it."""
        return AsyncQdrantClient(url=self.url, timeout=CALL_S)

    @property
    def engine_target(self) -> str:
        """The gRPC target of the embedded engine behind the proxy: what a thief of the database would read."""
        return f"unix:{(self.data / 'engine.sock').absolute()}"


def _launch(arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    # One BLAS thread: spinning threads would take the cores from the other processes.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=log.parent,
        )


@contextlib.contextmanager
def bare_engine(folder: Path) -> Iterator[Server]:
    """The embedded engine alone, without any protection: the reference that the proxy is compared with.

    `folder` holds its data (`data/`) and log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, data, log = free_port(), folder / "data", folder / "engine.log"
    arguments = ["vecguard.engine", "--data", str(data), "--listen", f"127.0.0.1:{port}"]
    server = Server(_launch([*arguments, "--die-with", str(os.getpid())], log), port, data, log)
    try:
        server.wait_until_healthy()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def serving_proxy(
    folder: Path,
    policy: str | None = None,
    *,
    upstream: str | None = None,
    key_file: Path | None = None,
    rest: bool = False,
    arguments: Sequence[str] = (),
    credentials: grpc.ChannelCredentials | None = None,
) -> Iterator[Proxy]:
    """`vecguard serve` on a free port.

    Args:
        folder: its working folder: engine data (`data/`), key, policy and log. Give the same one again for a restart.
        policy: the policy file's text (YAML); None: the default policy.
        upstream: as `--upstream`; None: an embedded engine of its own over `folder/data`.
        key_file: another key than `folder/vecguard.key`.
        rest: serve the REST API too, on another free port.
        arguments: further arguments of `vecguard serve`.
        credentials: for TLS, which a settings file among the arguments asks for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, data, log = free_port(), folder / "data", folder / "proxy.log"
    key_file = key_file or folder / "vecguard.key"
    rest_port = free_port() if rest else None
    command = ["vecguard", "serve", "--listen", f"127.0.0.1:{port}", "--key-file", str(key_file)]
    command += ["--rest", f"127.0.0.1:{rest_port}" if rest else "off"]
    command += ["--upstream", upstream or f"embedded:{data}", *arguments]
    file: Path | None = None
    if policy is not None:
        file = folder / "policy.yaml"
        file.write_text(policy, encoding="utf-8")
        command += ["--policy", str(file)]
    server = Proxy(_launch(command, log), port, data, log, credentials, file, key_file, rest_port)
    try:
        server.wait_until_healthy()
        yield server
    finally:
        server.stop()
