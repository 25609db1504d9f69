"""Qdrant's gRPC protocol."""

from __future__ import annotations

from vecguard.front.base import Front, Planting
from vecguard.front.qdrant import (  # by its module, since the name `records` is another one's here
    asked,
    planting,
    weight,
)
from vecguard.front.qdrant.adoption import adopt
from vecguard.front.qdrant.inspect import count, damaged, inspect
from vecguard.front.qdrant.listing import names
from vecguard.front.qdrant.mandatory import restricted
from vecguard.front.qdrant.metadata import read_manifest, real_name, write_manifest, write_tenant_keys
from vecguard.front.qdrant.observing import observe
from vecguard.front.qdrant.reprotect import reprotect
from vecguard.front.qdrant.retention import sweep
from vecguard.front.qdrant.shaping import shaped
from vecguard.front.qdrant.table import ROUTES
from vecguard.front.qdrant.tenants import delete_of
from vecguard.front.qdrant.transfer import transfer

FRONT = Front(
    "qdrant",
    ROUTES,
    read_manifest,
    real_name,
    write_manifest,
    inspect,
    count,
    transfer,
    names,
    sweep,
    reprotect,
    observe,
    records=weight.records,
    shown=weight.shown,
    restrict=restricted,
    damaged=damaged,
    shaped=shaped,
    write_tenant_keys=write_tenant_keys,
    delete_of=delete_of,
    asked=asked.asked,
    adopt=adopt,
    planting=Planting(planting.plant, planting.planted, planting.remove),
)
