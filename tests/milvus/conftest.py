"""Milvus servers that all tests of this folder share, and that end with the last; use collection names of your own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from milvus.pairs import POLICY, Pair, paired
from milvus.proxies import MilvusProxy, serving_milvus
from milvus.remembered import Guarded, guarded, made
from milvus.servers import MilvusServer, lite_server, real_server


@pytest.fixture(scope="package")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """Milvus Lite."""
    with lite_server(tmp_path_factory.mktemp("lite")) as server:
        yield server


@pytest.fixture(scope="package")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """The real Milvus 2.3.5."""
    with real_server(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="package", params=["lite", "real"])
def server(request: pytest.FixtureRequest) -> MilvusServer:
    """Each of the two."""
    found: MilvusServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="package")
def lite_proxy(lite: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    """The proxy before Milvus Lite, under `pairs.POLICY`."""
    with serving_milvus(tmp_path_factory.mktemp("lite-proxy"), lite, POLICY) as proxy:
        yield proxy


@pytest.fixture(scope="package")
def real_proxy(real: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    """The proxy before the real Milvus, under `pairs.POLICY`."""
    with serving_milvus(tmp_path_factory.mktemp("real-proxy"), real, POLICY) as proxy:
        yield proxy


@pytest.fixture(params=["lite", "real"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A new collection name, straight and through the proxy, on each of the two servers."""
    server = request.getfixturevalue(request.param)
    proxy = request.getfixturevalue(f"{request.param}_proxy")
    with paired(server, proxy, is_real=request.param == "real") as both:
        yield both


@pytest.fixture
def lite_pair(lite: MilvusServer, lite_proxy: MilvusProxy) -> Iterator[Pair]:
    """A new collection name, straight and through the proxy, on Milvus Lite: for what the real one is too old for."""
    with paired(lite, lite_proxy, is_real=False) as both:
        yield both


@pytest.fixture(scope="module")
def lite_place(lite: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(lite, tmp_path_factory.mktemp("rollback"), is_real=False) as found:
        yield found


@pytest.fixture(scope="module")
def real_place(real: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(real, tmp_path_factory.mktemp("rollback"), is_real=True) as found:
        yield found


@pytest.fixture(params=["lite", "real"])
def place(request: pytest.FixtureRequest) -> Guarded:
    found: Guarded = request.getfixturevalue(f"{request.param}_place")
    return found


@pytest.fixture
def box(place: Guarded) -> Iterator[str]:
    with made(place, "box") as name:
        yield name
