"""Milvus' generated protocol modules, without the client around them.

They ship inside `pymilvus`, whose own start-up imports pandas and more; here only its `grpc_gen` modules are loaded,
under a package name of ours. Messages of one descriptor have one class however often a module is loaded (protobuf's
upb), so they are the same classes as those of a `pymilvus` that is imported beside.
`m`, `s`, `c` and `f` are milvus_pb2, schema_pb2, common_pb2 and feder_pb2.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from vecguard.errors import ConfigError

if TYPE_CHECKING:
    from pymilvus.grpc_gen import common_pb2 as c
    from pymilvus.grpc_gen import feder_pb2 as f
    from pymilvus.grpc_gen import milvus_pb2 as m
    from pymilvus.grpc_gen import schema_pb2 as s

__all__ = ["DATA_TYPES", "SERVICE", "STREAMS", "TYPE_NAMES", "c", "f", "m", "rpc", "s"]

SERVICE: Final = "milvus.proto.milvus.MilvusService"
_PACKAGE: Final = f"{__name__}_generated"


def _generated(name: str) -> ModuleType:
    if _PACKAGE not in sys.modules:
        found = find_spec("pymilvus")
        if found is None or found.submodule_search_locations is None:
            raise ConfigError("the Milvus front needs the package pymilvus, which is not installed")
        package = ModuleType(_PACKAGE)
        package.__path__ = [str(Path(location) / "grpc_gen") for location in found.submodule_search_locations]
        sys.modules[_PACKAGE] = package
    return import_module(f"{_PACKAGE}.{name}")


if not TYPE_CHECKING:
    c = _generated("common_pb2")
    s = _generated("schema_pb2")
    f = _generated("feder_pb2")
    m = _generated("milvus_pb2")

DATA_TYPES: Final[dict[str, int]] = dict(s.DataType.items())
TYPE_NAMES: Final[dict[int, str]] = {number: name for name, number in DATA_TYPES.items()}


def rpc(name: str) -> str:
    """Full name of a method of MilvusService."""
    return f"/{SERVICE}/{name}"


STREAMS: Final = frozenset(
    rpc(method.name)
    for method in m.DESCRIPTOR.services_by_name["MilvusService"].methods
    if method.client_streaming or method.server_streaming
)
