"""Bodies of the search, recommend and discover endpoints of older servers, in the form of the models of the newer ones.

`qdrant-client` 1.20 no longer has them; older clients and other languages' still send them. The fields are those of the
OpenAPI document of Qdrant 1.16 (github.com/qdrant/qdrant, docs/redoc/v1.16.x).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, StrictFloat
from qdrant_client.http import models as m


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NamedVector(_Model):
    """A dense vector and the name of the collection's vector that it is compared with."""

    name: str
    vector: list[StrictFloat]


class NamedSparseVector(_Model):
    """A sparse vector, likewise."""

    name: str
    vector: m.SparseVector


SearchVector = list[StrictFloat] | NamedVector | NamedSparseVector
Example = m.ExtendedPointId | list[StrictFloat] | m.SparseVector


class _Read(_Model):
    shard_key: m.ShardKeySelector | None = None
    filter: m.Filter | None = None
    params: m.SearchParams | None = None
    with_payload: m.WithPayloadInterface | None = None
    with_vector: m.WithVector | None = None


class _Grouped(_Model):
    group_by: str
    group_size: int
    limit: int
    with_lookup: m.WithLookupInterface | None = None


class _Listed(_Model):
    limit: int
    offset: int | None = None


class _Search(_Read):
    vector: SearchVector
    score_threshold: float | None = None


class SearchRequest(_Search, _Listed):
    """`points/search`."""


class SearchRequestBatch(_Model):
    """`points/search/batch`."""

    searches: list[SearchRequest]


class SearchGroupsRequest(_Search, _Grouped):
    """`points/search/groups`."""


class _Recommend(_Read):
    positive: list[Example] | None = None
    negative: list[Example] | None = None
    strategy: m.RecommendStrategy | None = None
    score_threshold: float | None = None
    using: str | None = None
    lookup_from: m.LookupLocation | None = None


class RecommendRequest(_Recommend, _Listed):
    """`points/recommend`."""


class RecommendRequestBatch(_Model):
    """`points/recommend/batch`."""

    searches: list[RecommendRequest]


class RecommendGroupsRequest(_Recommend, _Grouped):
    """`points/recommend/groups`."""


class ContextExamplePair(_Model):
    """A pair of examples to stay on the right side of."""

    positive: Example
    negative: Example


class DiscoverRequest(_Read, _Listed):
    """`points/discover`."""

    target: Example | None = None
    context: list[ContextExamplePair] | None = None
    using: str | None = None
    lookup_from: m.LookupLocation | None = None


class DiscoverRequestBatch(_Model):
    """`points/discover/batch`."""

    searches: list[DiscoverRequest]
