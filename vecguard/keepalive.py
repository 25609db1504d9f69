"""How often clients of our gRPC listeners may ping.

gRPC's C core ends a connection ("too many pings") whose client pings more than twice within five minutes without
data, or within two hours without a call. Clients of vector databases ping by the second: pymilvus every 10 s, idle or
in the midst of a long call. Milvus takes a ping every 5 s, Qdrant any.
"""

from __future__ import annotations

from typing import Final

PINGS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
)
"""Options of a gRPC server (https://grpc.github.io/grpc/core/group__grpc__arg__keys.html): a ping a second is borne; a
flood of them still ends its connection."""
