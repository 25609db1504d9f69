"""The servers that the Milvus tests stand on: they answer, and keep what was acknowledged over a restart."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from milvus.servers import MilvusServer, lite_server, real_server

pytestmark = pytest.mark.slow


def test_versions_are_those_that_the_tests_are_written_for(lite: MilvusServer, real: MilvusServer) -> None:
    """A newer server may behave otherwise."""
    with lite.client() as client:
        assert client.get_server_version() == "milvus_lite-3.2.2"
    with real.client() as client:
        assert client.get_server_version() == "v2.3.5-lite"


@pytest.mark.parametrize("serving", [lite_server, partial(real_server, restarts=True)], ids=["lite", "real"])
def test_rows_outlive_a_restart(
    serving: Callable[[Path], AbstractContextManager[MilvusServer]], tmp_path: Path
) -> None:
    """The same folder given again is the same database."""
    for attempt in range(2):
        with serving(tmp_path) as server, server.client() as client:
            if attempt == 0:
                client.create_collection("kept", dimension=2)
                client.insert("kept", [{"id": 7, "vector": [0.5, 0.25]}])
            else:
                client.load_collection("kept")
                (row,) = client.query("kept", filter="id == 7", output_fields=["vector"], consistency_level="Strong")
                assert row == {"id": 7, "vector": [0.5, 0.25]}


def test_real_servers_run_side_by_side(real: MilvusServer, tmp_path: Path) -> None:
    """Each has ports of its own."""
    with real_server(tmp_path) as second, second.client() as client, real.client() as first:
        client.create_collection("only_here", dimension=2)
        assert client.has_collection("only_here")
        assert not first.has_collection("only_here")
