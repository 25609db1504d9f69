"""Which metric a search goes by: the one that it names, else that of its column's index.

An index's metric is remembered as long as the catalog's entry of the collection is trusted: every worker of the host
asks anew once an index was made or dropped through it, and other hosts within the catalog's own bound.
"""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from vecguard.errors import UpstreamFailure
from vecguard.fields import Fields
from vecguard.front.milvus.execute import Executor
from vecguard.front.milvus.layout import Column
from vecguard.front.milvus.proto import m, rpc
from vecguard.front.milvus.status import ask, carried

_DESCRIBE_INDEX: Final = rpc("DescribeIndex")
# What Milvus searches by where no index says otherwise.
_DEFAULTS: Final[dict[str, str]] = {"dense": "COSINE", "sparse": "IP", "open_vector": "BM25"}
_MISMATCH: Final = "metric type not match"
# By collection in use: the entry's time, and metrics by column.
_KNOWN: Final[WeakKeyDictionary[Fields, tuple[float, dict[str, str]]]] = WeakKeyDictionary()


async def metric_of(named: str, column: Column, executor: Executor) -> str:
    """The metric of a search on a column, in upper case; `named` is empty where the search names none.

    Raises:
        UpstreamFailure: the database cannot be reached.
    """
    if named:
        return named.upper()
    checked, metrics = _KNOWN.get(executor.shield.fields, (None, {}))
    if checked != executor.checked:
        metrics = {}
    if column.name not in metrics:
        metrics[column.name] = await _metric_of_index(column, executor)
        _KNOWN[executor.shield.fields] = executor.checked, metrics
    return metrics[column.name]


def forget(executor: Executor) -> None:
    """Ask for the metrics of a collection anew."""
    _KNOWN.pop(executor.shield.fields, None)


def is_mismatch(failure: UpstreamFailure) -> bool:
    """Whether a search failed since its index has another metric."""
    return carried(failure) is not None and _MISMATCH in str(failure)


async def _metric_of_index(column: Column, executor: Executor) -> str:
    """The metric of a column's index; where there is none, the search itself will say so."""
    source = executor.source
    request = m.DescribeIndexRequest(
        db_name=source.db_name, collection_name=source.collection_name, field_name=column.name
    )
    try:
        described = await ask(executor.session, _DESCRIBE_INDEX, request, m.DescribeIndexResponse)
    except UpstreamFailure as failure:
        if carried(failure) is None:
            raise
        return _DEFAULTS[column.role]
    for index in described.index_descriptions:
        if index.field_name == column.name:
            for pair in index.params:
                if pair.key == "metric_type":
                    return str(pair.value).upper()
    return _DEFAULTS[column.role]
