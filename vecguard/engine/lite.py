"""Milvus Lite as an embedded database: its server in a process of its own, under supervision."""

from __future__ import annotations

from typing import ClassVar

from vecguard.engine.supervisor import EngineProcess


class LiteProcess(EngineProcess):
    """The process of `vecguard.engine.lite_server`."""

    module: ClassVar[str] = "vecguard.engine.lite_server"
    health: ClassVar[str] = "/milvus.proto.milvus.MilvusService/CheckHealth"
