"""REST as a process serves it: several workers on one port, an end that finishes what has begun, addresses in use."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import free_port, serving_proxy

from proxy.processes import connections, until

pytestmark = pytest.mark.slow

CREATE = {"vectors": {"size": 3, "distance": "Cosine"}}
BODY = json.dumps({"points": [{"id": 1, "vector": [1, 2, 3], "payload": {"note": "kept"}}]}).encode()


def head(length: int, path: str = "/collections/box/points?wait=true") -> bytes:
    lines = [f"PUT {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}"]
    return ("\r\n".join([*lines, "", ""])).encode()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vecguard", "serve", "--listen", f"127.0.0.1:{free_port()}", *arguments]


def answer_of(line: socket.socket) -> bytes:
    found = b""
    while chunk := line.recv(65_536):
        found += chunk
        length = found.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if length.isdigit() and len(found.partition(b"\r\n\r\n")[2]) >= int(length):
            break
    return found


def is_closed(url: str) -> bool:
    """Whether no new connection is taken."""
    try:
        httpx.get(f"{url}/collections", timeout=2)
    except httpx.TransportError:
        return True
    return False


def test_what_has_begun_is_finished_when_the_server_ends(tmp_path: Path) -> None:
    """SIGTERM comes while a body is on its way: no new connection is taken, the request is answered, then all ends."""
    with serving_proxy(tmp_path, rest=True) as proxy:
        httpx.put(f"{proxy.url}/collections/box", json=CREATE).raise_for_status()
        with socket.create_connection(("127.0.0.1", proxy.rest_port), timeout=60) as line:
            line.sendall(head(len(BODY)) + BODY[:20])
            until(lambda: connections(proxy.process.pid, proxy.rest_port) > 0)
            time.sleep(0.5)  # it has taken the connection, and reads
            proxy.process.send_signal(signal.SIGTERM)
            until(lambda: is_closed(proxy.url), 20)
            line.sendall(BODY[20:])
            answered = answer_of(line)
        assert answered.startswith(b"HTTP/1.1 200"), answered
        assert b'"status":"completed"' in answered
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.logs
    with serving_proxy(tmp_path, rest=True) as again:
        point = httpx.get(f"{again.url}/collections/box/points/1").json()["result"]
        assert point["payload"] == {"note": "kept"}


def test_workers_share_the_port(tmp_path: Path) -> None:
    """Connections go to both; a collection that one made is known to the other at once."""
    with serving_proxy(tmp_path, rest=True, arguments=["--workers", "2"]) as proxy:
        for number in range(20):
            name = f"{proxy.url}/collections/box-{number}"
            httpx.put(name, json=CREATE).raise_for_status()
            httpx.put(
                f"{name}/points?wait=true", content=BODY, headers={"content-type": "application/json"}
            ).raise_for_status()
            found = httpx.post(f"{name}/points/query", json={"query": [1, 2, 3], "with_payload": True}).json()
            assert found["result"]["points"][0]["payload"] == {"note": "kept"}
            httpx.delete(name).raise_for_status()
            assert httpx.get(name).status_code == 404
        assert proxy.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_address_in_use_is_said(tmp_path: Path, workers: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        rest = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = command("--rest", rest, "--workers", workers)
        ended = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on {rest}" in ended.stderr
    assert "Traceback" not in ended.stderr


def links(folder: Path) -> Iterator[str]:
    """What the symbolic links of a folder point to; one may go while they are read."""
    for entry in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(entry.readlink())


def test_off_means_that_nothing_listens(tmp_path: Path) -> None:
    with serving_proxy(tmp_path) as proxy:
        inodes = set(links(Path(f"/proc/{proxy.process.pid}/fd")))
        tables = (Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()).splitlines()
        rows = [row.split() for row in tables if not row.strip().startswith("sl")]
        listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
        assert {int(address.rpartition(":")[2], 16) for address in listening} == {proxy.port}


def test_a_database_that_is_down(tmp_path: Path) -> None:
    """The version and the health checks say so; nothing hangs."""
    rest, log = free_port(), tmp_path / "log"
    with log.open("wb") as output:
        arguments = command("--rest", f"127.0.0.1:{rest}", "--upstream", f"qdrant://127.0.0.1:{free_port()}")
        process = subprocess.Popen(arguments, cwd=tmp_path, stdout=output, stderr=output)
    try:
        until(lambda: "VecGuard listens" in log.read_text())
        for path in ("/", "/readyz", "/healthz", "/collections"):
            answer = httpx.get(f"http://127.0.0.1:{rest}{path}", timeout=60)
            assert answer.status_code == 503, answer.text
            assert answer.json()["status"]["error"]
        alive = httpx.get(f"http://127.0.0.1:{rest}/livez", timeout=60)
        assert (alive.status_code, alive.text) == (200, "healthz check passed")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
