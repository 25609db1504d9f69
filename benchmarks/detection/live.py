"""The real proxy under the lab's traffic: `vecguard serve` over its embedded engine, one API key a principal.

Three collections hold the same records: `lab` is observed and recorded, `guarded` enforces, `unwatched` has detection
off. Loading is done by a principal of its own.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from qdrant_client import grpc as q

from benchmarks.detection.attacks.attack import Public
from benchmarks.detection.target import ProxyTarget
from benchmarks.passthrough import OPTIONS
from benchmarks.processes import Child, free_port, running, wait_until_serving
from vecguard.detect.log import read_log
from vecguard.detect.observation import Observation

RECORDED, GUARDED, UNWATCHED = "lab", "guarded", "unwatched"
_LOADER: Final = "loader"
_BATCH: Final = 200
_SETTLED_S: Final = 0.5
# What a client cannot read as a refusal of the ladder's last rung would blur where the block came.
BLOCK_ONLY: Final = {"slow": "off", "degrade": "off"}


@dataclass(frozen=True)
class Proxy:
    """The running server, and the folder of its log of observations."""

    child: Child
    channel: grpc.Channel
    log: Path
    dims: int

    def target(self, collection: str, principal: str) -> ProxyTarget:
        """A collection as a principal sees it."""
        return ProxyTarget(self.channel, collection, self.dims, _key(principal))

    def seen(self, principal: str, calls: int, patience_s: float = 30.0) -> list[Observation]:
        """The recorded observations of a principal, as soon as there are so many. Raises TimeoutError."""
        deadline = time.monotonic() + patience_s
        while True:
            found = [one for one in read_log(self.log) if one.principal == principal]
            if len(found) >= calls:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{principal}: {len(found)} of {calls} calls were recorded")
            time.sleep(_SETTLED_S)


@contextmanager
def serving(folder: Path, logs: Path, principals: Sequence[str], documents: Public) -> Iterator[Proxy]:
    """`vecguard serve` with the three collections, full. Data, key and policy go into `folder`, output into `logs`."""
    listen = f"127.0.0.1:{free_port()}"
    policy, settings, log = folder / "policy.yaml", folder / "settings.yaml", folder / "observations"
    policy.write_text(json.dumps(_policy([_LOADER, *principals])))  # JSON is YAML
    settings.write_text(json.dumps({"detection_log": str(log)}))
    line = ("vecguard", "serve", "--listen", listen, "--rest", "off", "--upstream", f"embedded:{folder / 'data'}")
    line += ("--policy", str(policy), "--key-file", str(folder / "key"), "--config", str(settings))
    dims = documents.vectors.shape[1]
    with running("detection", line, logs) as child, grpc.insecure_channel(listen, options=OPTIONS) as channel:
        wait_until_serving(child, listen, 60)
        proxy = Proxy(child, channel, log, dims)
        for collection in (RECORDED, GUARDED, UNWATCHED):
            _fill(proxy, collection, documents)
        yield proxy


def _fill(proxy: Proxy, collection: str, documents: Public) -> None:
    vectors = q.VectorsConfig(params=q.VectorParams(size=proxy.dims, distance=q.Distance.Cosine))
    create = q.CreateCollection(collection_name=collection, vectors_config=vectors)
    q.CollectionsStub(proxy.channel).Create(create, timeout=60, metadata=(("api-key", _key(_LOADER)),))
    target = proxy.target(collection, _LOADER)
    for first in range(0, len(documents.texts), _BATCH):
        ids = range(first, min(first + _BATCH, len(documents.texts)))
        target.write(ids, documents.vectors[first : first + _BATCH], documents.texts[first : first + _BATCH])


def _policy(principals: Sequence[str]) -> dict[str, Any]:
    keys = [{"name": name, "hash": _hash(_key(name)), "roles": ["read", "write", "admin"]} for name in principals]
    return {
        "version": 1,
        "access": {"anonymous": [], "api_keys": keys},
        "collections": [
            {"match": RECORDED, "detection": {"mode": "observe"}},
            {"match": GUARDED, "detection": {"mode": "enforce", "ladder": BLOCK_ONLY}},
            {"match": UNWATCHED, "detection": {"mode": "off"}},
        ],
    }


def _key(principal: str) -> str:
    """An API key made of the name: nothing here is secret."""
    return "vgk_" + hashlib.sha256(principal.encode()).hexdigest()


def _hash(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()
