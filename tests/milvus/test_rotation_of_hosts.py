"""Data-key rotation of a Milvus collection that proxies of several hosts write to at once.

Hosts share no folder of temporary files, and with it no lock: each process here has one of its own.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from meanwhile import Meanwhile
from proxy.processes import until
from pymilvus import DataType, MilvusClient

from milvus.proxies import MilvusProxy, serving_milvus
from milvus.search_sides import POLICIES
from milvus.servers import MilvusServer
from milvus.test_rotation import properties_at_rest, rotate_command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROWS = 2_000
DIMS = 24
X = np.random.default_rng(5).normal(size=(ROWS, DIMS)).astype(np.float32)
WRITERS = 4


def row(number: int, at: int, note: str) -> dict[str, Any]:
    return {"id": number, "v": X[at].tolist(), "note": note}


def made(client: MilvusClient, name: str) -> dict[int, tuple[int, str]]:
    """A collection with all rows, loaded; what it holds."""
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("note", DataType.VARCHAR, max_length=60)
    index = client.prepare_index_params()
    index.add_index("v", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
    client.insert(name, [row(i, i, f"note {i}") for i in range(ROWS)])
    client.load_collection(name)
    return {i: (i, f"note {i}") for i in range(ROWS)}


def own_folder(folder: Path) -> dict[str, str]:
    """Variables by which a process has a folder of temporary files of its own."""
    folder.mkdir(parents=True)
    return {"TMPDIR": str(folder)}


@contextlib.contextmanager
def two_hosts(folder: Path, behind: MilvusServer) -> Iterator[tuple[MilvusProxy, MilvusProxy]]:
    with contextlib.ExitStack() as stack:
        hosts = []
        for number in range(2):
            environ = own_folder(folder / f"temporary {number}")
            proxy = serving_milvus(
                folder / f"host {number}",
                behind,
                POLICIES["noised"],
                key_file=folder / "vecguard.key",
                environ=environ,
            )
            hosts.append(stack.enter_context(proxy))
        yield hosts[0], hosts[1]


class Writing(Meanwhile):
    """Clients of both proxies, each of which writes and deletes rows of its own as fast as it can."""

    def __init__(self, hosts: tuple[MilvusProxy, MilvusProxy], name: str, held: dict[int, tuple[int, str]]) -> None:
        self.held, self.failures, self.acknowledged = held, list[str](), 0
        super().__init__(*(partial(self._write, hosts[part % 2], name, part) for part in range(WRITERS)))

    def _write(self, proxy: MilvusProxy, name: str, part: int) -> None:
        choose, own = random.Random(part), [i for i in range(ROWS) if i % (WRITERS + 1) == part]
        with proxy.client() as client:
            while not self._stop.is_set():
                try:
                    self._one(client, name, choose, choose.choice(own))
                    self.acknowledged += 1
                except Exception as failure:  # noqa: BLE001 - told at the end, whatever it is
                    self.failures.append(repr(failure))
                    return

    def _one(self, client: MilvusClient, name: str, choose: random.Random, number: int) -> None:
        at, note = choose.randrange(ROWS), f"note {choose.random()}"
        if number not in self.held:
            client.insert(name, [row(number, at, note)])
            self.held[number] = at, note
        elif choose.random() < 0.7:
            client.upsert(name, [row(number, at, note)])
            self.held[number] = at, note
        else:
            client.delete(name, ids=[number])
            del self.held[number]


def assert_held(client: MilvusClient, name: str, held: dict[int, tuple[int, str]]) -> None:
    """The collection holds exactly what was acknowledged last, each row once."""
    rows = client.query(name, filter="id >= 0", output_fields=["v", "note"], limit=2 * ROWS, consistency_level="Strong")
    assert sorted(r["id"] for r in rows) == sorted(held)
    found = {r["id"]: r for r in rows}
    assert {number: r["note"] for number, r in found.items()} == {number: note for number, (_, note) in held.items()}
    for number, (at, _) in held.items():
        assert np.allclose(found[number]["v"], X[at], atol=1e-3)


def test_no_acknowledged_write_is_undone_through_either_host(server: MilvusServer, tmp_path: Path) -> None:
    with two_hosts(tmp_path, server) as hosts, hosts[0].client() as client:
        name = "of_two_hosts"
        held = made(client, name)
        environ = os.environ | own_folder(tmp_path / "temporary job")
        with Writing(hosts, name, held) as writing:
            command = rotate_command(server, hosts[0], name)
            for _ in range(2):  # again and again, so that many moments fall among the writes
                done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environ)
                assert done.returncode == 0, done.stderr
        assert writing.failures == []
        assert writing.acknowledged > 100
        assert_held(client, name, held)
        assert properties_at_rest(server, name)["_vg.moving"].endswith(".ended")


def test_writes_go_on_after_a_job_was_killed_in_a_moment(lite: MilvusServer, tmp_path: Path) -> None:
    """Its text stays: writers wait until it cannot be carried out any more, once, and a new job goes on."""
    with two_hosts(tmp_path, lite) as hosts, hosts[0].client() as client:
        name = "of_a_killed_job"
        held = made(client, name)
        environ = os.environ | own_folder(tmp_path / "temporary job")
        command = rotate_command(lite, hosts[0], name)
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ)

        def closed() -> bool:
            return properties_at_rest(lite, name).get("_vg.moving", "").endswith(".closed")

        while True:
            assert job.poll() is None
            if closed():
                job.send_signal(signal.SIGSTOP)  # looked at again as it stands: the moment may have been over
                if closed():
                    break
                job.send_signal(signal.SIGCONT)
            time.sleep(0.002)
        job.send_signal(signal.SIGKILL)
        job.wait()
        assert properties_at_rest(lite, name)["_vg.moving"].endswith(".closed")
        waited = []
        for _ in range(2):
            began = time.monotonic()
            client.upsert(name, [row(0, 1, "after the kill")])
            waited.append(time.monotonic() - began)
        held[0] = 1, "after the kill"
        assert waited[0] > 10.0
        assert waited[1] < 9.0
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environ)
        assert done.returncode == 0, done.stderr
        assert_held(client, name, held)


def test_of_two_jobs_on_two_hosts_one_goes_on(lite: MilvusServer, tmp_path: Path) -> None:
    with two_hosts(tmp_path, lite) as hosts, hosts[0].client() as client:
        name = "of_two_jobs"
        held = made(client, name)
        before, jobs = properties_at_rest(lite, name), []
        for number in range(2):
            environ = os.environ | own_folder(tmp_path / f"temporary job {number}")
            command = rotate_command(lite, hosts[0], name)
            jobs.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environ))
            # The second finds the first one's key in the manifest.
            until(lambda: properties_at_rest(lite, name)["_vg"] != before["_vg"])
        ended = [job.communicate(timeout=900)[1].decode() for job in jobs]
        assert any(job.returncode == 0 for job in jobs), ended
        for job, told in zip(jobs, ended, strict=True):
            assert job.returncode == 0 or "another rotation" in told, told
        assert_held(client, name, held)
