"""How collections are protected, as the control plane tells it."""

from __future__ import annotations

from vecguard.catalog import Catalog, Entry
from vecguard.errors import VecGuardError
from vecguard.model import Caller
from vecguard.policy.model import Policy
from vecguard.shield import DenseShield
from vecguard.v1 import admin_pb2 as v1

_CALLER = Caller(timeout=10.0)


async def described(front: str, name: str, catalog: Catalog, rules: Policy) -> v1.Collection:
    """One collection; its `problem` says why it is not served, if it is not. Raises nothing of ours."""
    told = v1.Collection(front=front, name=name)
    covering = rules.collection(name)
    if covering is not None:
        told.policy_entry = covering.name
    try:
        entry = await catalog.get(name, _CALLER)
    except VecGuardError as failure:
        told.state, told.problem = v1.Collection.REFUSED, str(failure)
        return told
    _fill(told, entry)
    return told


def _fill(told: v1.Collection, entry: Entry) -> None:
    if entry.shield is None:
        told.state = v1.Collection.CLEAR
        return
    manifest = entry.shield.manifest
    told.state = v1.Collection.PROTECTED
    told.created.FromDatetime(manifest.created)
    told.payload_default = manifest.payload.default
    told.payload_fields.update(manifest.payload.fields)
    for name, guard in sorted(entry.shield.vectors.items()):
        record = guard.record
        vector = told.vectors.add(name=name, kind=record.kind, dimensions=record.dims, recover=record.recover)
        vector.distance = record.distance
        vector.transforms.extend(spec.kind for spec in record.transforms)
        if isinstance(guard, DenseShield):
            vector.noise_ratio = guard.noise_ratio
