"""The processes of `vecguard serve` over their life: start, reload, stop, death of one of them, deadlines."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from qdrant_client import grpc as q
from serving import Proxy, Server, free_port, serving_proxy
from typer.testing import CliRunner

from proxy import processes
from proxy.behind import DIMS, Face, Guarded, guarded, refusal, unnamed
from proxy.processes import until
from vecguard.cli import app

NAME = "processes"
PLAIN = "version: 1\ncollections:\n  - match: 'processes*'\n"


def make(face: Face, name: str = NAME) -> None:
    params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
    config = q.VectorsConfig(params=params)
    face.collections.Create(q.CreateCollection(collection_name=name, vectors_config=config))


@pytest.fixture(autouse=True)
def emptied(engine: Server) -> Iterator[None]:
    """The shared engine has none of these collections before and after a test, also a failed one."""
    yield
    face = Face(engine.target)
    with face.channel:
        for name in (NAME, "processes-two"):
            face.collections.Delete(q.DeleteCollection(collection_name=name))


def put(face: Face, number: int, timeout: float | None = None) -> None:
    point = q.PointStruct(
        id=q.PointId(num=number),
        vectors=unnamed([number + 1.0, *range(1, DIMS)]),
        payload={"n": q.Value(integer_value=number)},
    )
    face.points.Upsert(q.UpsertPoints(collection_name=NAME, points=[point], wait=True), timeout=timeout)


def ids(face: Face) -> set[int]:
    """All points, each of them opened."""
    ask = q.ScrollPoints(collection_name=NAME, limit=10_000)
    ask.with_vectors.enable = ask.with_payload.enable = True
    found = face.points.Scroll(ask).result
    assert all(point.payload["n"].integer_value == point.id.num for point in found)
    return {point.id.num for point in found}


@contextlib.contextmanager
def face_of(server: Server) -> Iterator[Face]:
    face = Face(server.target)
    with face.channel:
        yield face


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `vecguard serve` that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "vecguard", "serve", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


class TestStart:
    @pytest.mark.slow
    def test_without_arguments_in_an_empty_folder(self, tmp_path: Path) -> None:
        """All is made that is needed. All addresses but one are the defaults. Three lines say what is protected."""
        port = free_port()
        with (tmp_path / "out").open("wb") as out:
            started = subprocess.Popen(
                [sys.executable, "-m", "vecguard", "serve", "--listen", f"127.0.0.1:{port}", "--rest", "off"],
                cwd=tmp_path,
                stdout=out,
                stderr=subprocess.PIPE,
            )
        server = Server(started, port, tmp_path / "vecguard-data", tmp_path / "out")
        try:
            server.wait_until_healthy()
            until(lambda: len(server.logs.splitlines()) >= 3)
            lines = server.logs.splitlines()
            assert len(lines) == 3
            assert f"127.0.0.1:{port}" in lines[0]
            assert "Protected: collections `*`" in lines[1]
            assert "vecguard.key" in lines[2]
            assert "back it up" in lines[2]
            assert stat.S_IMODE((tmp_path / "vecguard.key").stat().st_mode) == 0o600
            with face_of(server) as face:
                make(face)
                put(face, 1)
                assert ids(face) == {1}
        finally:
            assert server.stop() == 0
        assert {path.name for path in tmp_path.iterdir()} == {"out", "vecguard.key", "vecguard-data"}

    @pytest.mark.parametrize("listen", ["0.0.0.0:7334", "[::]:7334", "192.0.2.1:7334", "example.org:7334"])
    def test_beyond_this_machine_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listen: str) -> None:
        monkeypatch.chdir(tmp_path)
        ended = CliRunner().invoke(app, ["serve", "--listen", listen])
        assert ended.exit_code == 1
        assert "would accept vectors and text from the network in clear" in ended.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    def test_beyond_this_machine_when_it_is_said_in_so_many_words(self, tmp_path: Path) -> None:
        config = tmp_path / "settings.yaml"
        config.write_text("allow_clear_network: true\n")
        port = free_port()
        with (tmp_path / "out").open("wb") as out:
            arguments = ["--config", str(config), "--listen", f"0.0.0.0:{port}", "--rest", "off"]
            started = subprocess.Popen(
                [sys.executable, "-m", "vecguard", "serve", *arguments], cwd=tmp_path, stdout=out, stderr=out
            )
        server = Server(started, port, tmp_path / "vecguard-data", tmp_path / "out")
        server.wait_until_healthy()
        assert server.stop() == 0

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--listen", "nonsense"], "is not an address to listen on"),
            (["--upstream", "http://127.0.0.1:6333"], "not an upstream"),
            (["--config", "missing.yaml"], "config file missing.yaml cannot be read"),
            (["--workers", "0"], "workers"),
        ],
    )
    def test_settings_that_cannot_be_used_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ended = CliRunner().invoke(app, ["serve", *arguments])
        assert ended.exit_code == 1
        assert text in ended.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--policy", "missing.yaml"], "missing.yaml"),
            (["--key", "nowhere:x"], "there is no key provider 'nowhere'"),
            (["--key", "environment:VECGUARD_NO_SUCH_KEY"], "VECGUARD_NO_SUCH_KEY is not set"),
        ],
    )
    def test_what_cannot_be_used_is_said(self, tmp_path: Path, arguments: list[str], text: str) -> None:
        ended = command(tmp_path, "--listen", "127.0.0.1:7334", *arguments)
        assert ended.returncode == 1
        assert text in ended.stderr
        assert "Traceback" not in ended.stderr

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_a_second_server_on_the_same_port(self, tmp_path: Path, place: Guarded, workers: str) -> None:
        listen = f"127.0.0.1:{place.proxy.port}"
        ended = command(tmp_path, "--listen", listen, "--workers", workers)
        assert ended.returncode == 1
        assert f"cannot listen on {listen}" in ended.stderr
        assert "Traceback" not in ended.stderr

    @pytest.mark.slow
    def test_a_second_engine_on_the_same_data(self, tmp_path: Path) -> None:
        with serving_proxy(tmp_path / "first") as first:
            arguments = ["--upstream", f"embedded:{first.data}", "--key-file", str(first.key_file)]
            ended = command(tmp_path, "--listen", f"127.0.0.1:{free_port()}", *arguments)
            assert ended.returncode == 1
            assert f"{first.data} is already served by another engine process" in ended.stderr
            assert "Traceback" not in ended.stderr
            with face_of(first) as face:
                make(face)
                put(face, 1)
                assert ids(face) == {1}

    @pytest.mark.slow
    def test_a_restart_finds_everything_again(self, tmp_path: Path) -> None:
        for number in (1, 2):
            with serving_proxy(tmp_path) as proxy, face_of(proxy) as face:
                if number == 1:
                    make(face)
                put(face, number)
                assert ids(face) == set(range(1, number + 1))
            assert proxy.process.returncode == 0


class Load:
    """A client that writes one point after the other, and remembers what was acknowledged."""

    def __init__(self, face: Face, start: int = 0) -> None:
        self.acknowledged: list[int] = []
        self.statuses: set[str] = set()
        self._face = face
        self._next = start
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                put(self._face, self._next, timeout=60.0)
                self.acknowledged.append(self._next)
            except grpc.RpcError as failure:
                self.statuses.add(failure.code().name)
                time.sleep(0.02)
            self._next += 1

    def more(self, count: int) -> None:
        """Wait until so many more writes were acknowledged."""
        target = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= target)


class TestReload:
    @pytest.mark.slow
    def test_a_new_policy_takes_effect_and_no_call_is_dropped(self, engine: Server, tmp_path: Path) -> None:
        policy = PLAIN.replace("*", "")
        with guarded(engine, tmp_path, policy) as place:
            make(place.client)
            with Load(place.client) as load:
                load.more(10)
                add = q.CreateCollection(collection_name="processes-two")
                assert refusal(lambda: place.client.collections.Create(add))[0].name == "PERMISSION_DENIED"
                reload(place.proxy, policy + "  - match: processes-two\n")
                until(lambda: "policy reloaded" in place.proxy.logs)
                load.more(10)
                place.client.collections.Create(add)
            assert load.statuses == set()
            assert ids(place.client) == set(load.acknowledged)

    @pytest.mark.slow
    def test_a_bad_policy_changes_nothing(self, engine: Server, tmp_path: Path) -> None:
        with guarded(engine, tmp_path, PLAIN) as place:
            make(place.client)
            reload(place.proxy, "version: 1\ncollections:\n  - match: processes\n    protekt: none\n")
            until(lambda: "policy not reloaded" in place.proxy.logs)
            assert "protekt" in place.proxy.logs
            put(place.client, 1)
            assert ids(place.client) == {1}

    @pytest.mark.slow
    def test_a_policy_that_no_longer_fits_closes_a_collection_and_the_old_one_opens_it(
        self, engine: Server, tmp_path: Path
    ) -> None:
        with guarded(engine, tmp_path, PLAIN) as place:
            make(place.client)
            put(place.client, 1)
            reload(place.proxy, PLAIN + "    payload: {default: plain}\n")
            until(lambda: place.proxy.logs.count("policy reloaded") == 1)
            code, text = refusal(lambda: ids(place.client))
            assert (code.name, "does not fit" in text) == ("FAILED_PRECONDITION", True)
            reload(place.proxy, PLAIN)
            until(lambda: place.proxy.logs.count("policy reloaded") == 2)
            assert ids(place.client) == {1}

    @pytest.mark.slow
    def test_every_worker_takes_it(self, tmp_path: Path) -> None:
        with serving_proxy(tmp_path, PLAIN, arguments=["--workers", "2"]) as proxy:
            until(lambda: "VecGuard listens" in proxy.logs)
            reload(proxy, PLAIN)
            until(lambda: proxy.logs.count("policy reloaded") == 2)


def reload(proxy: Proxy, policy: str) -> None:
    assert proxy.policy is not None
    proxy.policy.write_text(policy)
    proxy.process.send_signal(signal.SIGHUP)


@contextlib.contextmanager
def slow_database(target: str, seconds: float) -> Iterator[tuple[int, threading.Event]]:
    """A pass-through that holds every upsert back for a while before it goes on to `target`.

    Yields its port, and what is set once an upsert is held. None is held beyond this block.
    """
    from concurrent.futures import ThreadPoolExecutor

    held, ended = threading.Event(), threading.Event()
    with grpc.insecure_channel(target) as channel:

        class Slow(grpc.GenericRpcHandler):
            def service(self, details):
                def forward(body, context):
                    if details.method.endswith("/Upsert"):
                        held.set()
                        ended.wait(seconds)
                    try:
                        return channel.unary_unary(details.method)(body)
                    except grpc.RpcError as error:
                        context.abort(error.code(), error.details())

                return grpc.unary_unary_rpc_method_handler(forward)

        server = grpc.server(ThreadPoolExecutor(8), handlers=(Slow(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port, held
        finally:
            ended.set()
            server.stop(None).wait()


class TestStop:
    @pytest.mark.parametrize("workers", ["1", "2"])
    @pytest.mark.slow
    def test_a_call_in_flight_is_finished(self, engine: Server, tmp_path: Path, workers: str) -> None:
        with slow_database(engine.target, 3.0) as (port, held):
            upstream = f"qdrant://127.0.0.1:{port}"
            with serving_proxy(tmp_path, PLAIN, upstream=upstream, arguments=["--workers", workers]) as proxy:
                until(lambda: "VecGuard listens" in proxy.logs)
                with face_of(proxy) as face:
                    make(face)
                    outcome: list[object] = []
                    writing = threading.Thread(target=lambda: outcome.append(put(face, 1)))
                    writing.start()
                    assert held.wait(60)
                    assert outcome == []
                    proxy.process.send_signal(signal.SIGTERM)
                    writing.join()
                    assert outcome == [None]
                    assert proxy.process.wait(60) == 0
                    with pytest.raises(grpc.RpcError):
                        put(face, 2, timeout=2.0)
        rest = Face(engine.target)
        with rest.channel:
            counted = rest.points.Count(q.CountPoints(collection_name=NAME)).result.count
        assert counted == 1

    @pytest.mark.slow
    def test_every_process_ends(self, tmp_path: Path) -> None:
        with serving_proxy(tmp_path, arguments=["--workers", "2"]) as proxy:
            until(lambda: "VecGuard listens" in proxy.logs)
            started = processes.children(proxy.process.pid)
            assert len(started) == 3
            assert proxy.stop() == 0
            assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []

    @pytest.mark.slow
    def test_killed_the_server_leaves_no_process_behind(self, tmp_path: Path) -> None:
        with serving_proxy(tmp_path, arguments=["--workers", "2"]) as proxy:
            until(lambda: "VecGuard listens" in proxy.logs)
            started = processes.children(proxy.process.pid)
            proxy.process.kill()
            proxy.process.wait()
            until(lambda: not [pid for pid in started if alive(pid)])


def alive(pid: int) -> bool:
    """Whether a process runs (a dead one that nobody has waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
class TestDeath:
    def test_a_killed_worker_is_replaced(self, tmp_path: Path) -> None:
        with serving_proxy(tmp_path, PLAIN, arguments=["--workers", "2"]) as proxy:
            until(lambda: "VecGuard listens" in proxy.logs)
            with face_of(proxy) as face:
                make(face)
                put(face, 1)
            before = processes.workers(proxy.process.pid)
            assert len(before) == 2
            os.kill(before[0], signal.SIGKILL)
            until(lambda: len(set(processes.workers(proxy.process.pid)) - set(before)) == 1)
            until(lambda: "worker ended; starting another" in proxy.logs)
            for _ in range(8):
                with face_of(proxy) as face:
                    assert retried(lambda face=face: ids(face)) == {1}

    def test_a_killed_engine_loses_no_acknowledged_write(self, tmp_path: Path) -> None:
        """Killed three times under load; the proxy recovers by itself, and clients see UNAVAILABLE meanwhile."""
        with serving_proxy(tmp_path, PLAIN) as proxy, face_of(proxy) as face:
            make(face)
            with Load(face) as load, Load(face, 100_000) as other:
                for _ in range(3):
                    load.more(25)
                    killed = processes.engine(proxy.process.pid)
                    os.kill(killed, signal.SIGKILL)
                    until(lambda killed=killed: killed not in processes.children(proxy.process.pid))
                load.more(25)
                other.more(5)
            acknowledged = set(load.acknowledged) | set(other.acknowledged)
            assert acknowledged <= ids(face)
            assert load.statuses | other.statuses <= {"UNAVAILABLE"}
            assert proxy.process.poll() is None


def retried(call: Callable[[], object]) -> object:
    """A call, again where the connection broke under it, as clients do."""
    for _ in range(300):
        try:
            return call()
        except grpc.RpcError as failure:
            if failure.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(0.2)
    raise AssertionError("still unavailable")


class TestUpstream:
    def test_a_database_that_is_down(self, tmp_path: Path) -> None:
        upstream = f"qdrant://127.0.0.1:{free_port()}"
        port, log = free_port(), tmp_path / "proxy.log"
        with log.open("wb") as out:
            arguments = ["--listen", f"127.0.0.1:{port}", "--rest", "off", "--upstream", upstream]
            started = subprocess.Popen(
                [sys.executable, "-m", "vecguard", "serve", *arguments], cwd=tmp_path, stdout=out, stderr=out
            )
        server = Server(started, port, tmp_path, log)
        try:
            until(lambda: "VecGuard listens" in server.logs)
            with face_of(server) as face:
                for call in (
                    lambda: ids(face),
                    lambda: put(face, 1),
                    lambda: make(face),
                    lambda: face.collections.List(q.ListCollectionsRequest()),
                ):
                    code, _ = refusal(call)
                    assert code is grpc.StatusCode.UNAVAILABLE
        finally:
            assert server.stop() == 0

    @pytest.mark.slow
    def test_a_deadline_is_passed_on(self, engine: Server, tmp_path: Path) -> None:
        """The client's deadline holds for the database too: the call ends in time, on both sides."""
        with slow_database(engine.target, 60.0) as (port, _):
            upstream = f"qdrant://127.0.0.1:{port}"
            with serving_proxy(tmp_path, PLAIN, upstream=upstream) as proxy, face_of(proxy) as face:
                make(face)
                started = time.monotonic()
                code, _ = refusal(lambda: put(face, 1, timeout=1.0))
                assert code is grpc.StatusCode.DEADLINE_EXCEEDED
                until(lambda: '"status":"DEADLINE_EXCEEDED"' in proxy.logs or '"status":"CANCELLED"' in proxy.logs)
                assert time.monotonic() - started < 30.0

    def test_statuses_of_the_database_come_through(self, place: Guarded, collection: str) -> None:
        code, text = refusal(lambda: place.client.points.Count(q.CountPoints(collection_name="box-absent")))
        assert code is grpc.StatusCode.NOT_FOUND
        assert "Collection `box-absent` doesn't exist!" in text
        code, text = refusal(lambda: create_again(place, collection))
        assert code in (grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.INVALID_ARGUMENT)
        assert "already exists" in text


def create_again(place: Guarded, collection: str) -> None:
    config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Dot))
    place.client.collections.Create(q.CreateCollection(collection_name=collection, vectors_config=config))
