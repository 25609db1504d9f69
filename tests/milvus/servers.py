"""Milvus servers for tests, each a process on loopback: Milvus Lite, and the real Milvus 2.3.5 of PyPI.

Milvus Lite speaks the newer API (nullable, sparse, several vectors); 2.3.5 is the real server with one vector a
collection. The real one takes about 6 s to start once its programs are unpacked (30 s the first time).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from pymilvus import AsyncMilvusClient, MilvusClient
from pymilvus.exceptions import MilvusException
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc
from serving import free_port

START_S = 180.0
STOP_S = 45.0
CALL_S = 60
MESSAGE_BYTES = 256 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class MilvusServer:
    """A process that answers Milvus' gRPC API on a loopback port."""

    process: subprocess.Popen[bytes]
    port: int
    data: Path
    """Folder of the server's data."""
    log: Path
    """File with all that the process wrote to stdout and stderr."""
    patience_s: float = field(default=STOP_S, kw_only=True)
    """How long it may take to end."""

    @property
    def target(self) -> str:
        """The gRPC target."""
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        """What clients are given."""
        return f"http://{self.target}"

    @property
    def logs(self) -> str:
        """What the process has written so far."""
        return self.log.read_text(errors="replace")

    @contextlib.contextmanager
    def client(self) -> Iterator[MilvusClient]:
        """A new ordinary client, on a connection of its own."""
        client = MilvusClient(uri=self.uri, timeout=CALL_S, dedicated=True)
        try:
            yield client
        finally:
            client.close()

    @contextlib.asynccontextmanager
    async def async_client(self) -> AsyncIterator[AsyncMilvusClient]:
        """A new ordinary asynchronous client."""
        client = AsyncMilvusClient(uri=self.uri, timeout=CALL_S, dedicated=True)
        try:
            yield client
        finally:
            await client.close()

    @contextlib.contextmanager
    def stub(self) -> Iterator[milvus_pb2_grpc.MilvusServiceStub]:
        """Raw RPCs, for messages that the ordinary client does not send."""
        limits = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
        with grpc.insecure_channel(self.target, options=limits) as channel:
            yield milvus_pb2_grpc.MilvusServiceStub(channel)  # type: ignore[no-untyped-call]

    def wait_until_healthy(self) -> None:
        """Return when the server answers; fail with the end of its log if it ends or stays silent."""
        deadline = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._is_healthy():
                return
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"the server did not start; its log ends with:\n{self.logs[-4000:]}")

    def _is_healthy(self) -> bool:
        with self.stub() as stub:
            try:
                return bool(stub.CheckHealth(milvus_pb2.CheckHealthRequest(), timeout=10.0).isHealthy)
            except grpc.RpcError as error:
                return error.code() is grpc.StatusCode.UNAUTHENTICATED  # it asks who calls, so it is there

    def stop(self) -> int:
        """End the process as an operator does (SIGTERM); kill it only if it does not end. Returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(self.patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextlib.contextmanager
def lite_server(folder: Path) -> Iterator[MilvusServer]:
    """Milvus Lite on a free port; `folder` holds its data (`data/`) and log. Give the same one again for a restart."""
    port = free_port()
    listen = ("--host", "127.0.0.1", "--port", str(port))
    arguments = ("-m", "milvus_lite", "server", "--data-dir", str(folder / "data"), *listen)
    with _serving(folder, port, arguments) as server:
        yield server


@contextlib.contextmanager
def real_server(folder: Path, *, accounts: bool = False, restarts: bool = False) -> Iterator[MilvusServer]:
    """The real Milvus 2.3.5 on a free port; `folder` holds its data (`data/`) and log, and may be given again.

    Its programs are unpacked once per user into the folder for temporary files. With `accounts` it wants to know who
    calls, and knows `root` with the password `Milvus`. With `restarts` it is soon up again over the same data, and does
    not outlive ten seconds without a processor.
    """
    port = free_port()
    programs = Path(tempfile.gettempdir()) / f"vecguard-milvus-2.3.5-{os.getuid()}"
    # Run as a script, not as a module: only outside the tests' folder does `import milvus` find the PyPI package.
    script = ROOT / "benchmarks" / "milvus_standalone.py"
    arguments = (str(script), str(folder / "data"), str(programs), str(port), str(os.getpid()))
    arguments += (("accounts",) if accounts else ()) + (("restarts",) if restarts else ())
    # At times 2.3.5 aborts while it starts, when its parts are asked for their health.
    with _serving(folder, port, arguments, starts=3) as server:
        # At times it waits for itself when it ends; what it acknowledged is on disk before.
        server.patience_s = 5.0
        yield server


@contextlib.contextmanager
def _serving(folder: Path, port: int, arguments: Sequence[str], *, starts: int = 1) -> Iterator[MilvusServer]:
    folder.mkdir(parents=True, exist_ok=True)
    server = _started(folder, port, arguments, starts)
    try:
        yield server
    finally:
        server.stop()


def _started(folder: Path, port: int, arguments: Sequence[str], starts: int) -> MilvusServer:
    """The server as soon as it is healthy; one that is not is started anew, `starts` times in all."""
    log = folder / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            cwd=folder,
        )
    server = MilvusServer(process, port, folder / "data", log)
    try:
        server.wait_until_healthy()
    except AssertionError:
        if starts == 1:
            raise
        return _started(folder, port, arguments, starts - 1)
    except BaseException:
        server.stop()
        raise
    return server


def truncate(client: MilvusClient, name: str) -> None:
    """Truncate a collection, again where Milvus Lite was writing into its folder just then, which it calls an error."""
    for attempt in range(5):
        try:
            client.truncate_collection(name)
            return
        except MilvusException as error:
            if "Directory not empty" not in str(error) or attempt == 4:
                raise
