"""Reading the candidates of a search, part by part."""

import pytest
from qdrant_client import grpc as q

from vecguard.front.qdrant.reading import Goal


@pytest.mark.parametrize("written_first", [2, 1])
def test_older_parts_are_read_first_whichever_is_written_to(written_first):
    """A point only ever moves to the newest key: read the other way round, it could be missed in both places.

    As a rotation begins, this worker may still write to the old part, and another one to the new one already.
    """
    parts = sorted([1, 2], key=lambda part: part != written_first)
    upstream = {part: q.Query(nearest=q.VectorInput(id=q.PointId(num=part))) for part in parts}
    probes = Goal(10, None, first=50, most=1_000).probes(upstream)
    assert [(probe.part, probe.query.nearest.id.num, probe.target) for probe in probes] == [(1, 1, 50), (2, 2, 50)]
