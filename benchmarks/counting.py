"""A pass-through before the engine that notes which points each query returned: candidates, seen from outside.

`python -m benchmarks.counting --listen HOST:PORT --upstream HOST:PORT --log FILE` appends one JSON list a query call to
the file: `[collection, [ids...]]`. Counting there needs no word from the proxy about itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import TextIO

import grpc.aio
from qdrant_client import grpc as qdrant

from benchmarks.passthrough import Call, Context, Forward, serve
from benchmarks.requests import QUERY

QUERY_BATCH = "/qdrant.Points/QueryBatch"


class Counting(Forward):
    """Forwards like `Forward`, and notes the ids in the answers of queries."""

    def __init__(self, upstream: grpc.aio.Channel, log: TextIO) -> None:
        super().__init__(upstream)
        self._log = log

    def _forward(self, method: str) -> Call:
        forward = super()._forward(method)
        if method not in (QUERY, QUERY_BATCH):
            return forward

        async def counted(request: bytes, context: Context) -> bytes:
            response = await forward(request, context)
            for collection, points in _answers(method, request, response):
                self._log.write(json.dumps([collection, [point.id.num for point in points]]) + "\n")
            self._log.flush()
            return response

        return counted


def _answers(method: str, request: bytes, response: bytes) -> list[tuple[str, list[qdrant.ScoredPoint]]]:
    if method == QUERY:
        name = qdrant.QueryPoints.FromString(request).collection_name
        return [(name, list(qdrant.QueryResponse.FromString(response).result))]
    name = qdrant.QueryBatchPoints.FromString(request).collection_name
    return [(name, list(answer.result)) for answer in qdrant.QueryBatchResponse.FromString(response).result]


class Counts:
    """Reads what a counting pass-through has noted since the last look."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0

    def candidates(self) -> tuple[int, int]:
        """Query calls that reached the engine since the last look, and the different points that they returned."""
        with self._log.open(encoding="utf-8") as lines:
            lines.seek(self._read)
            noted = [json.loads(line) for line in lines]
            self._read = lines.tell()
        return len(noted), len({number for _, ids in noted for number in ids})


def main() -> None:
    """Read the addresses and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--listen", "--upstream", "--log"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    with Path(arguments.log).open("a", encoding="utf-8") as log:
        asyncio.run(serve(arguments.listen, arguments.upstream, lambda channel: Counting(channel, log)))


if __name__ == "__main__":
    main()
