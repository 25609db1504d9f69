"""Metrics, request ids and the journal of a running server, with several workers, before a real engine."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from qdrant_client import grpc as q
from serving import Proxy, free_port, serving_proxy
from typer.testing import CliRunner

from proxy import processes
from proxy.behind import DIMS, Face, unnamed
from proxy.processes import until
from vecguard.cli import app

pytestmark = pytest.mark.slow

POLICY = "version: 1\ncollections: [{match: 'notes'}]\n"
SEARCH = "/qdrant.Points/Query"


def samples(port: int) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What Prometheus would be told, by its own parser."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }


def total(port: int, name: str, **labels: str) -> float:
    """Sum of a metric's samples that have these labels."""
    found = samples(port).items()
    return sum(value for (known, has), value in found if known == name and labels.items() <= dict(has).items())


def search(face: Face, **metadata: str) -> grpc.Call:
    """One search; the call with its trailing metadata."""
    query = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=[1.0] * DIMS)))
    ask = q.QueryPoints(collection_name="notes", query=query, limit=3)
    _, call = face.points.Query.with_call(ask, metadata=tuple(metadata.items()))
    return call


def fill(face: Face) -> None:
    params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
    face.collections.Create(q.CreateCollection(collection_name="notes", vectors_config=q.VectorsConfig(params=params)))
    points = [q.PointStruct(id=q.PointId(num=i), vectors=unnamed([i + 1.0] * DIMS)) for i in range(5)]
    face.points.Upsert(q.UpsertPoints(collection_name="notes", points=points, wait=True))


def verified(trail: Path, proxy: Proxy) -> str:
    files = [str(file) for file in trail.iterdir()]
    arguments = ["--key", f"file:{proxy.key_file}", "--log", str(proxy.log)]
    result = CliRunner().invoke(app, ["trail", "verify", *files, *arguments])
    return f"{result.exit_code} {result.stdout}{result.stderr}"


def test_a_server_with_two_workers_is_observed(tmp_path: Path) -> None:
    metrics, trail, settings = free_port(), tmp_path / "trail", tmp_path / "settings.yaml"
    settings.write_text(f"metrics: 127.0.0.1:{metrics}\ntrail_folder: {trail}\nworkers: 2\n")
    with serving_proxy(tmp_path / "proxy", POLICY, arguments=("--config", str(settings)), rest=True) as proxy:
        face = Face(proxy.target)
        with face.channel:
            fill(face)
            calls = [search(face) for _ in range(10)]
            told = search(face, **{"x-request-id": "job-7"})
            assert dict(told.trailing_metadata())["x-request-id"] == "job-7"
            assert len({dict(call.trailing_metadata())["x-request-id"] for call in calls}) == 10
            with pytest.raises(grpc.RpcError) as refused:
                face.points.Count(q.CountPoints(collection_name="secret"), metadata=(("x-request-id", "job-8"),))
            assert dict(refused.value.trailing_metadata())["x-request-id"] == "job-8"  # type: ignore[attr-defined]
        request = urllib.request.Request(f"{proxy.url}/collections", headers={"x-request-id": "job-9"})
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["x-request-id"] == "job-9"

        until(lambda: total(metrics, "vecguard_calls_total", rpc=SEARCH, status="OK", collection="notes") == 11)
        until(lambda: total(metrics, "vecguard_calls_total", status="PERMISSION_DENIED", collection="other") == 1)
        assert total(metrics, "vecguard_call_seconds_count", rpc=SEARCH) == 11
        for stage in ("auth", "protect", "upstream", "open", "rerank"):
            assert total(metrics, "vecguard_stage_seconds_count", stage=stage) >= 11, stage
            assert total(metrics, "vecguard_stage_seconds_sum", stage=stage) > 0, stage
        assert total(metrics, "vecguard_candidates_count") == 11
        until(lambda: total(metrics, "vecguard_upstream_connected", front="qdrant") == 1)

        proxy.process.send_signal(signal.SIGHUP)
        until(lambda: total(metrics, "vecguard_policy_reloads_total", outcome="accepted") == 2)
        os.kill(processes.workers(proxy.process.pid)[0], signal.SIGKILL)
        until(lambda: "starting another" in proxy.logs and len(processes.workers(proxy.process.pid)) == 2)
        until(lambda: len(list(trail.iterdir())) == 3)
        assert total(metrics, "vecguard_calls_total", rpc=SEARCH) == 11  # what the dead one counted is not lost

    events = [json.loads(line) for line in proxy.logs.splitlines() if line.startswith("{")]
    by_id = {event["request_id"]: event for event in events if event["event"] == "call"}
    assert by_id["job-7"]["stages"].keys() == {"auth", "protect", "upstream", "open", "rerank", "detect"}
    assert by_id["job-8"]["cause"] == "policy"
    assert by_id["job-9"]["protocol"] == "rest"
    assert len(list(trail.iterdir())) == 3  # two workers, and the one that took the place of the first
    assert verified(trail, proxy).startswith("0 ")

    kept = [line for file in trail.iterdir() for line in file.read_text().splitlines()]
    # Besides the call itself, an event of detection may name the last call that it looked at.
    assert sum('"job-7"' in line and '"event":"call"' in line for line in kept) == 1
    altered = next(file for file in trail.iterdir() if '"job-7"' in file.read_text())
    altered.write_text(altered.read_text().replace('"job-7"', '"job-6"'))
    found = verified(trail, proxy)
    assert found.startswith("1 ")
    assert re.search(rf"{altered.name}: line \d+: does not authenticate", found)


def test_an_address_in_use_is_an_error_of_the_settings(tmp_path: Path) -> None:
    taken = free_port()
    with (
        serving_proxy(tmp_path / "one", POLICY, arguments=("--metrics", f"127.0.0.1:{taken}")),
        pytest.raises(AssertionError, match=rf"cannot listen on 127\.0\.0\.1:{taken} for metrics"),
        serving_proxy(tmp_path / "two", POLICY, arguments=("--metrics", f"127.0.0.1:{taken}")),
    ):
        pass
