"""Milvus' gRPC protocol."""

from __future__ import annotations

from vecguard.front.base import Front, Planting
from vecguard.front.milvus import (  # by its module, since `names` is another module's name here
    listing,
    planting,
)
from vecguard.front.milvus.adoption import adopt
from vecguard.front.milvus.asked import asked
from vecguard.front.milvus.inspect import count, damaged, inspect
from vecguard.front.milvus.mandatory import restricted
from vecguard.front.milvus.metadata import read_manifest, real_name, write_manifest, write_tenant_keys
from vecguard.front.milvus.observing import observe
from vecguard.front.milvus.reprotect import reprotect, require_rotatable
from vecguard.front.milvus.retention import sweep
from vecguard.front.milvus.shaping import shaped
from vecguard.front.milvus.status import failed
from vecguard.front.milvus.table import ROUTES
from vecguard.front.milvus.tenants import delete_of
from vecguard.front.milvus.transfer import transfer
from vecguard.front.milvus.weight import records, shown

# By these the database knows who calls, in which database, and since when.
_PASSED: frozenset[str] = frozenset(
    {
        "authorization",
        "dbname",
        "identifier",
        "client-request-unixmsec",
        "client_request_id",
        "client-request-id",
    }
)

FRONT = Front(
    "milvus",
    ROUTES,
    read_manifest,
    real_name,
    write_manifest,
    inspect,
    count,
    transfer,
    listing.names,
    sweep,
    reprotect,
    observe,
    failed,
    _PASSED,
    records=records,
    shown=shown,
    restrict=restricted,
    damaged=damaged,
    shaped=shaped,
    asked=asked,
    require_rotatable=require_rotatable,
    write_tenant_keys=write_tenant_keys,
    delete_of=delete_of,
    adopt=adopt,
    planting=Planting(planting.plant, planting.planted, planting.remove),
)
