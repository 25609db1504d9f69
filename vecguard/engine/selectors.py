"""What a read should return and how it should search: payload and vector selectors, search parameters, limits.

Formats: `WithPayloadSelector`, `WithVectorsSelector`, `SearchParams` of qdrant's `points.proto`; ranges as declared for
its validators in `lib/api/build.rs`.
"""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.filters_convert import edge_filter, json_path
from vecguard.errors import InvalidArgument, Refused

MAX_COUNT = 2**63 - 1

PayloadSelection = bool | list[str] | edge.PayloadSelector
VectorSelection = bool | list[str]


def payload_selection(message: Any, default: bool = False, field: str = "with_payload") -> PayloadSelection:
    """Which payload fields to return.

    Args:
        message: a request with a `WithPayloadSelector` in `field`.
        default: what an unset selector means for this RPC.

    Raises:
        InvalidArgument: an empty selector or a malformed key path.
    """
    if not message.HasField(field):
        return default
    selector: pb.WithPayloadSelector = getattr(message, field)
    kind = selector.WhichOneof("selector_options")
    if kind == "enable":
        return selector.enable
    if kind == "include":
        return [json_path(path) for path in selector.include.fields]
    if kind == "exclude":
        return edge.PayloadSelector.Exclude([json_path(path) for path in selector.exclude.fields])
    raise InvalidArgument("No PayloadSelector")


def vector_selection(message: Any, field: str = "with_vectors") -> VectorSelection:
    """Which vectors to return; unset means none."""
    if not message.HasField(field):
        return False
    selector: pb.WithVectorsSelector = getattr(message, field)
    if selector.WhichOneof("selector_options") == "include":
        return list(selector.include.names)
    return selector.enable


def search_params(message: Any) -> edge.SearchParams | None:
    """How to search (`params`), or None for the defaults.

    Raises:
        InvalidArgument: oversampling below 1 or an ACORN selectivity outside [0, 1].
    """
    if not message.HasField("params"):
        return None
    params: pb.SearchParams = message.params
    return edge.SearchParams(
        hnsw_ef=params.hnsw_ef if params.HasField("hnsw_ef") else None,
        exact=params.exact,
        quantization=_quantization(params.quantization) if params.HasField("quantization") else None,
        indexed_only=params.indexed_only,
        acorn=_acorn(params.acorn) if params.HasField("acorn") else None,
        idf=_idf(params.idf) if params.HasField("idf") else None,
    )


def _quantization(source: pb.QuantizationSearchParams) -> edge.QuantizationSearchParams:
    if source.HasField("oversampling") and not source.oversampling >= 1.0:
        raise InvalidArgument(
            "Validation error in body: [params.quantization.oversampling: "
            f"value {source.oversampling} invalid, must be 1.0 or larger]"
        )
    return edge.QuantizationSearchParams(
        ignore=source.ignore,
        rescore=source.rescore if source.HasField("rescore") else None,
        oversampling=source.oversampling if source.HasField("oversampling") else None,
    )


def _acorn(source: pb.AcornSearchParams) -> edge.AcornSearchParams:
    if source.HasField("max_selectivity") and not 0.0 <= source.max_selectivity <= 1.0:
        raise InvalidArgument(
            "Validation error in body: [params.acorn.max_selectivity: "
            f"value {source.max_selectivity} invalid, must be from 0.0 to 1.0]"
        )
    return edge.AcornSearchParams(
        enable=source.enable,
        max_selectivity=source.max_selectivity if source.HasField("max_selectivity") else None,
    )


def _idf(source: pb.IdfParams) -> edge.IdfParams:  # type: ignore[name-defined, unused-ignore]
    return edge.IdfParams(corpus=edge_filter(source.corpus) if source.HasField("corpus") else None)


def positive(message: Any, field: str, default: int | None = None) -> int:
    """A count that must be at least 1.

    Args:
        default: what an unset field means; None where the field has no presence and 0 is what unset looks like.

    Raises:
        InvalidArgument: the count is 0.
    """
    if default is not None and not message.HasField(field):
        return default
    value = int(getattr(message, field))
    if value < 1:
        raise InvalidArgument(f"Validation error in body: [{field}: value {value} invalid, must be 1 or larger]")
    return value


def known(number: int, members: Any, field: str) -> None:
    """Refuse a member of an enumeration that this build does not know (InvalidArgument).

    Qdrant takes the default instead; a newer client's request must not be answered as another one.
    """
    if number not in members.values():
        raise InvalidArgument(f"Wrong input: unknown value {number} of {field}")


def capped(count: int) -> int:
    """A count that the engine can hold; beyond it nothing could be told apart."""
    return min(count, MAX_COUNT)


def refuse_shard_keys(message: Any, field: str = "shard_key_selector") -> None:
    """The engine has one shard a collection and no custom sharding.

    Raises:
        Refused: the request selects shards by key.
    """
    if message.HasField(field):
        raise Refused("Custom sharding (shard_key_selector) is not served by the embedded engine")


def check_timeout(message: Any) -> None:
    """A timeout, where given, must be at least 1 second (InvalidArgument)."""
    positive(message, "timeout", default=1)
