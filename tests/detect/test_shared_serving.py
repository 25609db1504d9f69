"""Two replicas of two workers before one database: budgets and rates hold for all together, and over restarts."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from proxy.behind import DIMS, Face, unnamed
from proxy.processes import until
from qdrant_client import grpc as q
from redis_server import RedisServer, redis_server
from serving import Proxy, Server, serving_proxy

from vecguard.keys.file import FileKeyProvider
from vecguard.policy.credentials import hash_key, new_key
from vecguard.registry import DETECTORS

pytestmark = pytest.mark.slow
KEYS = {name: new_key() for name in ("writer", "reader", "caller", "other")}
POINTS, LIMIT = 40, 10
# Budgets alone are looked at: scrolls of whole collections would be found.
OFF = json.dumps(dict.fromkeys(DETECTORS.kinds, False))
POLICY = f"""
version: 1
access:
  api_keys:
    - {{name: writer, hash: "{hash_key(KEYS["writer"])}", roles: [all]}}
    - {{name: reader, hash: "{hash_key(KEYS["reader"])}", roles: [all]}}
    - {{name: other, hash: "{hash_key(KEYS["other"])}", roles: [all]}}
    - {{name: caller, hash: "{hash_key(KEYS["caller"])}", roles: [held]}}
  roles:
    - {{name: all, grants: [{{actions: [read, write, admin]}}]}}
    - {{name: held, grants: [{{actions: [read]}}], rate: {{calls_per_s: 0.001, burst_calls: 30}}}}
collections:
  - match: "budget*"
    detection: {{mode: enforce, ladder: {{slow: off, degrade: off, block: off}}, budgets: {{records_per_day: 200}}}}
  - match: "distinct*"
    detection: {{mode: enforce, ladder: {{slow: off, degrade: off, block: off}}, budgets: {{distinct_ids_per_day: 25}}}}
  - match: "clear*"
    protect: none
    detection: {{mode: enforce, ladder: {{slow: off, degrade: off, block: off}}, budgets: {{distinct_ids_per_day: 25}}}}
  - match: "observed*"
    detection: {{mode: observe, budgets: {{records_per_day: 1}}}}
"""


@dataclass
class Fleet:
    """Replicas, the database and the store that they share."""

    replicas: list[Proxy]
    redis: RedisServer
    name: str
    start: Callable[[str], contextlib.AbstractContextManager[Proxy]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, engine: Server) -> Iterator[Fleet]:
    folder, name = tmp_path_factory.mktemp("fleet"), secrets.token_hex(4)
    with redis_server(folder / "redis") as redis, contextlib.ExitStack() as stack:
        settings = folder / "settings.yaml"
        settings.write_text(f"workers: 2\nstate: {{url: '{redis.url}', timeout_s: 5}}\n")

        def start(replica: str) -> contextlib.AbstractContextManager[Proxy]:
            return serving_proxy(
                folder / replica,
                POLICY,
                upstream=f"qdrant://{engine.target}",
                key_file=folder / "shared.key",
                arguments=("--config", str(settings)),
            )

        FileKeyProvider.create(str(folder / "shared.key"), {})
        replicas = [stack.enter_context(start(replica)) for replica in ("one", "two")]
        fill(replicas[0], name)
        yield Fleet(replicas, redis, name, start)


def fill(proxy: Proxy, name: str) -> None:
    face = Face(proxy.target)
    held = (("api-key", KEYS["writer"]),)
    config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
    draw = np.random.default_rng(5)
    with face.channel:
        for kind in ("budget", "distinct", "clear", "observed"):
            collection = f"{kind}-{name}"
            face.collections.Create(
                q.CreateCollection(collection_name=collection, vectors_config=config), metadata=held
            )
            points = [
                q.PointStruct(id=q.PointId(num=number), vectors=unnamed(draw.standard_normal(DIMS).tolist()))
                for number in range(1, POINTS + 1)
            ]
            face.points.Upsert(q.UpsertPoints(collection_name=collection, points=points, wait=True), metadata=held)


def scroll(target: str, collection: str, principal: str, start: int = 1) -> str:
    """Read ten records from an id on, over a connection of its own, which any worker may take; how it ended."""
    face = Face(target)
    with face.channel:
        ask = q.ScrollPoints(collection_name=collection, limit=LIMIT, offset=q.PointId(num=start))
        try:
            face.points.Scroll(ask, metadata=(("api-key", KEYS[principal]),), timeout=60)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def all_at_once(fleet: Fleet, collection: str, principal: str, times: int) -> Counter[str]:
    """Calls from a thread for each replica and worker; how many ended how."""
    ended: list[str] = []

    def calls(target: str) -> None:
        ended.extend(scroll(target, collection, principal) for _ in range(times))

    threads = [threading.Thread(target=calls, args=(replica.target,)) for replica in fleet.replicas for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(ended)


def test_a_budget_is_one_for_all(fleet: Fleet) -> None:
    ended = all_at_once(fleet, f"budget-{fleet.name}", "reader", 8)
    assert ended == {"OK": 20, "RESOURCE_EXHAUSTED": 12}  # 20 times 10 records
    assert scroll(fleet.replicas[0].target, f"budget-{fleet.name}", "other") == "OK"


@pytest.mark.parametrize("kind", ["distinct", "clear"])
def test_distinct_records_are_counted_for_all(fleet: Fleet, kind: str) -> None:
    """The same record has one hash in all processes, in collections without keys, too."""
    ended = [
        scroll(fleet.replicas[number % 2].target, f"{kind}-{fleet.name}", "reader", start)
        for number, start in enumerate((1, 1, 11, 11, 21, 16, 16, 1))
    ]
    assert ended == ["OK", "OK", "OK", "OK", "RESOURCE_EXHAUSTED", "OK", "OK", "OK"]


def test_a_rate_is_one_for_all(fleet: Fleet) -> None:
    assert all_at_once(fleet, f"observed-{fleet.name}", "caller", 10) == {"OK": 30, "RESOURCE_EXHAUSTED": 10}


def test_a_budget_that_only_observes_refuses_nobody(fleet: Fleet) -> None:
    assert scroll(fleet.replicas[0].target, f"observed-{fleet.name}", "reader") == "OK"


def test_a_restarted_replica_remembers_and_a_store_that_is_away_closes_what_enforces(fleet: Fleet) -> None:
    collection = f"budget-{fleet.name}"
    with fleet.start("three") as third:
        assert scroll(third.target, collection, "reader") == "RESOURCE_EXHAUSTED"
        fleet.redis.stop()
        fleet.redis.start()
        until(lambda: scroll(third.target, collection, "reader") == "RESOURCE_EXHAUSTED")
        assert scroll(third.target, collection, "other") == "OK"
        fleet.redis.hang()
        try:
            began = time.monotonic()
            assert scroll(third.target, collection, "other") == "UNAVAILABLE"
            assert scroll(third.target, f"observed-{fleet.name}", "caller") == "UNAVAILABLE"
            # Who has no rate, where nothing is enforced, does not notice.
            assert scroll(third.target, f"observed-{fleet.name}", "reader") == "OK"
            assert time.monotonic() - began < 60
        finally:
            fleet.redis.go_on()
