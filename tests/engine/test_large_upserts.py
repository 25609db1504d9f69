"""A large upsert lets other calls in while it is read, and is written whole, or refused whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from qdrant_client import grpc as pb

from vecguard.engine.points_service import POINTS_AT_A_TIME, PointsService
from vecguard.errors import InvalidArgument

from .edge_points import dense_request, opened

POINTS = 4 * POINTS_AT_A_TIME
Act = Callable[[PointsService], Awaitable[None]]


def batch(dims: int, count: int = POINTS) -> pb.UpsertPoints:
    vector = pb.Vectors(vector=pb.Vector(dense=pb.DenseVector(data=[1.0] * dims)))
    points = [pb.PointStruct(id=pb.PointId(num=number), vectors=vector) for number in range(count)]
    return pb.UpsertPoints(collection_name="c", points=points, wait=True)


async def count(service: PointsService) -> int:
    answer = await service.Count(pb.CountPoints(collection_name="c", exact=True), None)  # type: ignore[arg-type]
    return int(answer.result.count)


def on_a_service(folder: Path, act: Act) -> None:
    async def run() -> None:
        store = opened(folder)
        try:
            await store.create(dense_request("c", 4))
            await act(PointsService(store))
        finally:
            await store.close()

    asyncio.run(run())


def test_other_calls_are_answered_while_a_batch_is_read(tmp_path: Path) -> None:
    async def act(service: PointsService) -> None:
        upsert = asyncio.create_task(service.Upsert(batch(4), None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert await count(service) == 0
        assert not upsert.done()
        assert (await upsert).result.status == pb.UpdateStatus.Completed
        assert await count(service) == POINTS

    on_a_service(tmp_path, act)


def test_batches_are_read_one_after_the_other(tmp_path: Path) -> None:
    async def act(service: PointsService) -> None:
        first = asyncio.create_task(service.Upsert(batch(4), None))  # type: ignore[arg-type]
        second = asyncio.create_task(service.Upsert(batch(4), None))  # type: ignore[arg-type]
        await first
        assert not second.done()
        assert (await second).result.operation_id == (await first).result.operation_id + 1

    on_a_service(tmp_path, act)


@pytest.mark.parametrize("place", [0, POINTS - 1], ids=["first", "last"])
def test_a_batch_with_one_bad_point_is_refused_whole_and_the_next_goes_on(tmp_path: Path, place: int) -> None:
    async def act(service: PointsService) -> None:
        bad = batch(4)
        bad.points[place].vectors.vector.dense.data.append(1.0)
        with pytest.raises(InvalidArgument, match="expected dim: 4, got 5"):
            await service.Upsert(bad, None)  # type: ignore[arg-type]
        assert await count(service) == 0
        await service.Upsert(batch(4), None)  # type: ignore[arg-type]
        assert await count(service) == POINTS

    on_a_service(tmp_path, act)


def test_vectors_that_are_dropped_while_a_batch_is_read_refuse_it(tmp_path: Path) -> None:
    named = pb.Vectors(vectors=pb.NamedVectors(vectors={"late": pb.Vector(dense=pb.DenseVector(data=[1.0] * 4))}))

    async def act(service: PointsService) -> None:
        make = pb.CreateVectorNameRequest(collection_name="c", vector_name="late")
        make.dense_config.size, make.dense_config.distance = 4, pb.Distance.Dot
        await service.CreateVectorName(make, None)  # type: ignore[arg-type]
        points = [pb.PointStruct(id=pb.PointId(num=number), vectors=named) for number in range(POINTS)]
        ask = pb.UpsertPoints(collection_name="c", points=points, wait=True)
        upsert = asyncio.create_task(service.Upsert(ask, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        drop = pb.DeleteVectorNameRequest(collection_name="c", vector_name="late")
        dropped = asyncio.create_task(service.DeleteVectorName(drop, None))  # type: ignore[arg-type]
        results = await asyncio.gather(upsert, dropped, return_exceptions=True)
        # Whichever came first, the batch is there whole or not at all.
        assert await count(service) == (0 if isinstance(results[0], InvalidArgument) else POINTS)
        assert not isinstance(results[1], BaseException)

    on_a_service(tmp_path, act)
