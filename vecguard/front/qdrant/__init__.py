"""Qdrant's gRPC protocol."""

from __future__ import annotations

from vecguard.front.base import Front
from vecguard.front.qdrant.inspect import count, inspect
from vecguard.front.qdrant.metadata import read_manifest, real_name
from vecguard.front.qdrant.table import ROUTES
from vecguard.front.qdrant.transfer import transfer
from vecguard.front.qdrant.weight import records

FRONT = Front("qdrant", ROUTES, read_manifest, real_name, inspect, count, transfer, records=records)
