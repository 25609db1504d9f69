"""Milvus servers that all tests of this folder share; use collection names of your own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from milvus.servers import MilvusServer, lite_server, real_server


@pytest.fixture(scope="session")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """Milvus Lite."""
    with lite_server(tmp_path_factory.mktemp("lite")) as server:
        yield server


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """The real Milvus 2.3.5."""
    with real_server(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="session", params=["lite", "real"])
def server(request: pytest.FixtureRequest) -> MilvusServer:
    """Each of the two."""
    found: MilvusServer = request.getfixturevalue(request.param)
    return found
