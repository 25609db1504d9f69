"""The processes of `vecguard serve` before Milvus over their life: start, stop, death of one, both protocols."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from proxy import processes
from proxy.processes import until
from pymilvus import MilvusClient, MilvusException
from pymilvus.grpc_gen import milvus_pb2
from qdrant_client import QdrantClient, models
from serving import CALL_S, free_port

from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer, real_server

pytestmark = pytest.mark.slow

NAME = "rows"


@contextlib.contextmanager
def embedded(folder: Path, arguments: Sequence[str] = ()) -> Iterator[MilvusProxy]:
    """`vecguard serve` with an embedded Milvus over `folder/data`."""
    folder.mkdir(parents=True, exist_ok=True)
    port, data, log = free_port(), folder / "data", folder / "proxy.log"
    command = ["vecguard", "serve", "--upstream", f"embedded-milvus:{data}", "--milvus-listen", f"127.0.0.1:{port}"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, *arguments], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
    server = MilvusProxy(process, port, data, log, None, folder / "vecguard.key")
    try:
        server.wait_until_healthy()
        until(lambda: "Key: " in server.logs)
        yield server
    finally:
        server.stop()


def ended(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `vecguard serve` that is expected to end by itself."""
    command = [sys.executable, "-m", "vecguard", "serve", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)


def make(client: MilvusClient) -> None:
    client.create_collection(NAME, dimension=4, metric_type="L2")


def put(client: MilvusClient, number: int) -> None:
    client.insert(NAME, [{"id": number, "vector": [number, 1.0, 2.0, 3.0], "text": f"text {number}"}])


def ids(client: MilvusClient) -> set[int]:
    """All rows, each of them opened."""
    rows = client.query(NAME, filter="id >= 0", output_fields=["id", "text"], consistency_level="Strong")
    assert all(row["text"] == f"text {row['id']}" for row in rows)
    return {row["id"] for row in rows}


def retried(call: Callable[[], object]) -> object:
    """A call, again where the database was away, as an application does."""
    for _ in range(1_200):
        try:
            return call()
        except (MilvusException, grpc.RpcError):
            time.sleep(0.1)
    raise AssertionError("still unavailable")


class TestStart:
    def test_all_is_made_that_is_needed_and_three_lines_say_what_is_served(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as proxy:
            lines = proxy.logs.splitlines()
            assert lines[0] == (
                f"VecGuard listens on {proxy.target} (gRPC, 1 worker(s)) before embedded-milvus {proxy.data}"
            )
            assert "Protected: collections `*`" in lines[1]
            assert "vecguard.key" in lines[2]
            assert stat.S_IMODE((tmp_path / "vecguard.key").stat().st_mode) == 0o600
            with proxy.client() as client:
                make(client)
                put(client, 1)
                assert ids(client) == {1}
        assert proxy.process.returncode == 0
        assert {path.name for path in tmp_path.iterdir()} == {"proxy.log", "vecguard.key", "data"}

    def test_a_restart_finds_everything_again(self, tmp_path: Path) -> None:
        for number in (1, 2):
            with embedded(tmp_path) as proxy, proxy.client() as client:
                if number == 1:
                    make(client)
                put(client, number)
                assert ids(client) == set(range(1, number + 1))

    def test_data_without_its_key_is_not_served(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as proxy, proxy.client() as client:
            make(client)
        (tmp_path / "vecguard.key").unlink()
        refused = ended(tmp_path, "--upstream", f"embedded-milvus:{proxy.data}", "--milvus-listen", "127.0.0.1:7334")
        assert refused.returncode == 1
        assert "key file vecguard.key is missing, but there is data" in refused.stderr
        assert not (tmp_path / "vecguard.key").exists()

    def test_a_second_one_on_the_same_data(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as proxy:
            refused = ended(
                tmp_path, "--upstream", f"embedded-milvus:{proxy.data}", "--milvus-listen", f"127.0.0.1:{free_port()}"
            )
        assert refused.returncode == 1
        assert f"{proxy.data} is already served by another engine process" in refused.stderr
        assert "Traceback" not in refused.stderr

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_a_second_one_on_the_same_port(self, lite: MilvusServer, tmp_path: Path, workers: str) -> None:
        with serving_milvus(tmp_path, lite) as proxy:
            refused = ended(
                tmp_path, "--upstream", f"milvus://{lite.target}", "--milvus-listen", proxy.target, "--workers", workers
            )
        assert refused.returncode == 1
        assert f"cannot listen on {proxy.target}" in refused.stderr
        assert "Traceback" not in refused.stderr

    def test_two_databases_of_one_protocol_are_refused(self, tmp_path: Path) -> None:
        refused = ended(tmp_path, "--upstream", "embedded-milvus:a", "--upstream", "milvus://127.0.0.1:1")
        assert refused.returncode == 1
        assert "one upstream for each protocol" in refused.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("option", ["--listen", "--rest"])
    def test_an_address_of_a_protocol_without_a_database_is_refused(self, tmp_path: Path, option: str) -> None:
        refused = ended(tmp_path, "--upstream", "milvus://127.0.0.1:1", option, "127.0.0.1:7334")
        assert refused.returncode == 1
        assert f"{option} is where Qdrant's protocol is served" in refused.stderr
        assert "say --milvus-listen" in refused.stderr

    def test_no_client_library_is_loaded_beside(self, tmp_path: Path) -> None:
        """Neither of Milvus' clients nor what they need: the front takes the generated messages alone."""
        with embedded(tmp_path) as proxy, proxy.client() as client:
            make(client)
            maps = Path(f"/proc/{proxy.process.pid}/maps").read_text()
        assert "numpy" in maps
        assert "pandas" not in maps
        assert "pyarrow" not in maps


class TestBothProtocols:
    def test_one_process_serves_qdrant_and_milvus(self, tmp_path: Path) -> None:
        port = free_port()
        both = ["--upstream", f"embedded:{tmp_path / 'qdrant'}", "--listen", f"127.0.0.1:{port}", "--rest", "off"]
        with embedded(tmp_path, both) as proxy, proxy.client() as client:
            first = proxy.logs.splitlines()[0]
            assert f"{proxy.target} (gRPC, 1 worker(s)) before embedded-milvus" in first
            assert f"127.0.0.1:{port} (gRPC, 1 worker(s)) before embedded {tmp_path / 'qdrant'}" in first
            make(client)
            put(client, 1)
            with contextlib.closing(
                QdrantClient(grpc_port=port, prefer_grpc=True, check_compatibility=False, timeout=CALL_S)
            ) as qdrant:
                config = models.VectorParams(size=2, distance=models.Distance.COSINE)
                qdrant.create_collection(NAME, vectors_config=config)
                qdrant.upsert(NAME, [models.PointStruct(id=7, vector=[0.5, 0.25], payload={"text": "seven"})])
                assert [(hit.id, hit.payload) for hit in qdrant.query_points(NAME, query=[1.0, 0.5]).points] == [
                    (7, {"text": "seven"})
                ]
            assert ids(client) == {1}
            assert client.list_collections() == [NAME]
            started = processes.children(proxy.process.pid)
            assert len(started) == 2
        assert proxy.process.returncode == 0
        assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


class TestWorkers:
    def test_rows_written_through_one_are_read_through_another(self, lite: MilvusServer, tmp_path: Path) -> None:
        with serving_milvus(tmp_path, lite, arguments=["--workers", "3"]) as proxy:
            until(lambda: len(processes.workers(proxy.process.pid)) == 3)
            with proxy.client() as client:
                make(client)
            try:
                for number in range(9):
                    with proxy.client() as client:
                        put(client, number)
                        assert ids(client) == set(range(number + 1))
            finally:
                with proxy.client() as client:
                    client.drop_collection(NAME)
            started = processes.children(proxy.process.pid)
            assert proxy.stop() == 0
            assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]

    def test_a_collection_made_anew_is_never_written_with_the_old_keys(
        self, lite: MilvusServer, tmp_path: Path
    ) -> None:
        """Each worker knew the first collection when the second of its name was made through another."""
        with serving_milvus(tmp_path, lite, arguments=["--workers", "2"]) as proxy, contextlib.ExitStack() as stack:
            until(lambda: len(processes.workers(proxy.process.pid)) == 2)
            clients = [stack.enter_context(proxy.client()) for _ in range(6)]
            try:
                for round_ in range(3):
                    make(clients[round_])
                    for number, client in enumerate(clients):
                        put(client, number)
                    for client in clients:
                        assert ids(client) == set(range(len(clients)))
                    clients[-1].drop_collection(NAME)
            finally:
                clients[0].drop_collection(NAME)


class Load:
    """A client that writes one row after the other, and remembers what was acknowledged."""

    def __init__(self, proxy: MilvusProxy) -> None:
        self.acknowledged: list[int] = []
        self._proxy = proxy
        self._next = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._proxy.client() as client:
            while not self._stop.is_set():
                self._next += 1
                try:
                    client.insert(
                        NAME, [{"id": self._next, "vector": [1.0] * 4, "text": f"text {self._next}"}], timeout=1
                    )
                except (MilvusException, grpc.RpcError):
                    time.sleep(0.02)
                else:
                    self.acknowledged.append(self._next)

    def more(self, count: int) -> None:
        """Wait until so many more rows were acknowledged."""
        target = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= target)


class TestDeath:
    def test_a_killed_database_loses_no_acknowledged_row_and_comes_back(self, tmp_path: Path) -> None:
        with embedded(tmp_path) as proxy, proxy.client() as client:
            make(client)
            with Load(proxy) as load:
                for _ in range(3):
                    load.more(20)
                    killed = processes.engine(proxy.process.pid)
                    os.kill(killed, signal.SIGKILL)
                    until(lambda killed=killed: killed not in processes.children(proxy.process.pid))
                load.more(20)
            assert set(load.acknowledged) <= retried(lambda: ids(client))
            assert proxy.process.poll() is None

    def test_a_killed_server_leaves_no_process_behind(self, tmp_path: Path) -> None:
        with embedded(tmp_path, ["--workers", "2"]) as proxy:
            started = processes.children(proxy.process.pid)
            assert len(started) == 3
            proxy.process.kill()
            proxy.process.wait()
            until(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()])

    def test_a_database_that_is_not_there_is_unavailable_until_it_is(self, tmp_path: Path) -> None:
        """The proxy starts without it, and finds it when it comes."""
        behind = MilvusServer(None, free_port(), tmp_path, tmp_path / "none")  # type: ignore[arg-type]
        port = free_port()
        command = [
            "vecguard",
            "serve",
            "--upstream",
            f"milvus://{behind.target}",
            "--milvus-listen",
            f"127.0.0.1:{port}",
        ]
        with (tmp_path / "proxy.log").open("wb") as output:
            process = subprocess.Popen([sys.executable, "-m", *command], cwd=tmp_path, stdout=output, stderr=output)
        proxy = MilvusProxy(process, port, tmp_path, tmp_path / "proxy.log")
        try:
            until(lambda: "Key: " in proxy.logs)
            with proxy.stub() as stub:
                with pytest.raises(grpc.RpcError) as away:
                    stub.CheckHealth(milvus_pb2.CheckHealthRequest(), timeout=60)
                assert away.value.code() is grpc.StatusCode.UNAVAILABLE
                arguments = ["--data", str(tmp_path / "data"), "--listen", behind.target]
                database = subprocess.Popen(
                    [sys.executable, "-m", "vecguard.engine.lite_server", *arguments, "--die-with", str(os.getpid())]
                )
                try:
                    assert retried(lambda: stub.CheckHealth(milvus_pb2.CheckHealthRequest(), timeout=30).isHealthy)
                finally:
                    database.terminate()
                    database.wait()
        finally:
            assert proxy.stop() == 0


class TestTls:
    def test_the_database_is_spoken_to_in_cipher_alone(self, lite: MilvusServer, tmp_path: Path) -> None:
        """A server with a certificate that the proxy's roots hold is served, any other is not spoken to."""
        certificate, key = self_signed("localhost")
        roots = tmp_path / "roots.pem"
        roots.write_bytes(certificate)
        with in_cipher(lite, certificate, key) as port:
            command = [sys.executable, "-m", "vecguard", "serve", "--upstream", f"milvus://localhost:{port}?tls"]
            for trusted in (True, False):
                environment = os.environ | ({"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(roots)} if trusted else {})
                listen = f"127.0.0.1:{free_port()}"
                with (tmp_path / "log").open("wb") as log:
                    process = subprocess.Popen(
                        [*command, "--milvus-listen", listen],
                        cwd=tmp_path,
                        env=environment,
                        stdout=log,
                        stderr=log,
                    )
                try:
                    until(lambda: "Key: " in (tmp_path / "log").read_text())
                    with grpc.insecure_channel(listen) as channel:
                        ask = channel.unary_unary("/milvus.proto.milvus.MilvusService/GetVersion", None, None)
                        if trusted:
                            assert b"milvus_lite" in ask(b"", timeout=60)
                        else:
                            with pytest.raises(grpc.RpcError) as refused:
                                ask(b"", timeout=60)
                            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
                finally:
                    process.terminate()
                    process.wait()


def self_signed(name: str) -> tuple[bytes, bytes]:
    """A certificate for a host's name, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), encoded


@contextlib.contextmanager
def in_cipher(behind: MilvusServer, certificate: bytes, key: bytes) -> Iterator[int]:
    """A server with TLS that passes every call on to `behind`; yields its port."""
    with grpc.insecure_channel(behind.target) as channel:

        class Pass(grpc.GenericRpcHandler):
            def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
                call = channel.unary_unary(details.method, None, None)
                return grpc.unary_unary_rpc_method_handler(lambda body, context: call(body))

        server = grpc.server(ThreadPoolExecutor(4), handlers=(Pass(),))
        port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, certificate)]))
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


class TestAccounts:
    def test_the_database_knows_a_client_by_its_own_token(self, tmp_path: Path) -> None:
        """The real server with accounts: the proxy adds no rights of its own."""
        with (
            real_server(tmp_path / "behind", accounts=True) as server,
            serving_milvus(tmp_path / "proxy", server) as proxy,
            known(proxy, "root:Milvus") as root,
            known(server, "root:Milvus") as operator,
        ):
            retried(lambda: make(root))
            put(root, 1)
            assert ids(root) == {1}
            operator.create_user("reader", "Secret-1")
            for token in ("root:wrong", "reader:Secret-1", ""):
                with pytest.raises((MilvusException, grpc.RpcError)) as refused:
                    read_as(proxy, token)
                assert "text 1" not in str(refused.value)
            operator.create_role("readers")
            for privilege in ("Query", "GetLoadState"):
                operator.grant_privilege("readers", "Collection", privilege, NAME)
            operator.grant_privilege("readers", "Global", "DescribeCollection", "*")
            operator.grant_role("reader", "readers")
            assert retried(lambda: read_as(proxy, "reader:Secret-1")) == {1}


@contextlib.contextmanager
def known(server: MilvusServer, token: str) -> Iterator[MilvusClient]:
    """A client that says who it is."""
    client = MilvusClient(uri=server.uri, token=token, dedicated=True, timeout=CALL_S)
    try:
        yield client
    finally:
        client.close()


def read_as(proxy: MilvusProxy, token: str) -> set[int]:
    with known(proxy, token) as client:
        rows = client.query(
            NAME, filter="id >= 0", output_fields=["id", "text"], timeout=30, consistency_level="Strong"
        )
    return {row["id"] for row in rows}
