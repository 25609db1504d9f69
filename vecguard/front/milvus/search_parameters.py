"""Search parameters of Milvus: the key-value pairs of a search or of its rank parameters, every one understood.

Milvus itself takes some from the pairs and hands the JSON text under `params` to the index; unknown keys of either are
ignored there. Here they are refused, since what is not understood may hold data.
Source: milvus-io/milvus, internal/proxy/search_util.go (`parseSearchInfo`, `parseRankParams`), whose words are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.distances import Band
from vecguard.front.milvus.proto import c

Knob: TypeAlias = int | float | bool | str

MAX_TOPK: Final = 16_384
_LARGEST_DECIMAL: Final = 6

# What an index is told about how hard to look. Numbers and switches, none of which holds a client's data.
_KNOBS: Final = frozenset(
    {
        *("nprobe", "ef", "search_list", "search_list_size", "reorder_k", "refine_k", "level", "search_k", "k"),
        *("itopk_size", "search_width", "min_iterations", "max_iterations", "team_size", "beam_width", "beamwidth"),
        # langchain-milvus sends the build's ratio with every sparse search; a search takes no notice of it.
        *("drop_ratio_search", "drop_ratio_build", "dim_max_score_ratio", "inverted_index_algo", "bm25_k1", "bm25_b"),
        *("max_empty_result_buckets", "enable_recall_calculation", "page_retain_order", "retain_iterator_order"),
        *("ignore_growing", "rbq_bits_query", "rbq_query_bits"),
    }
)
# Of these an index wants at least as many as results are asked for.
_AT_LEAST_TOPK: Final = ("ef", "search_list", "reorder_k")
# Pairs that pass as they came: they say how a search is run, or name the collection by number.
_PASSED: Final = frozenset({"ignore_growing", "hints", "collection_id", "cluster_id", "page_retain_order", "timezone"})
_GROUPING: Final = frozenset({"group_by_field", "group_size", "strict_group_size", "rank_group_scorer"})
_ITERATION: Final = frozenset(
    {"iterator", "search_iter_v2", "search_iter_batch_size", "search_iter_last_bound", "search_iter_id"}
)
_READ: Final = frozenset({"anns_field", "topk", "offset", "metric_type", "round_decimal", "params"})
_BOUNDS: Final = ("radius", "range_filter")
_REFUSED: Final = {
    "group_by_fields": "grouping by several fields is computed by the database on values that it does not have",
    "order_by_fields": "the database would order by values that it does not have",
    "json_path": "grouping by a path within JSON is computed by the database on values that it does not have",
    "json_type": "grouping by a path within JSON is computed by the database on values that it does not have",
    "strict_cast": "grouping by a path within JSON is computed by the database on values that it does not have",
    "time_fields": "the database would take apart values that it does not have",
    "analyzer_name": "the database would analyse text that it does not have",
}
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_SCORERS: Final = ("max", "sum", "avg")


@dataclass(frozen=True, slots=True)
class Grouping:
    """Group results by the values of `field`: `size` of each group at most, or only full groups where `strict`."""

    field: str
    size: int = 1
    strict: bool = False
    scorer: str = "max"


@dataclass(frozen=True, slots=True)
class Iteration:
    """A step of a search iterator: `version` 1 pages by range search, 2 by the last distance it was given."""

    version: int
    batch: int = 0
    last_bound: float | None = None
    token: str = ""


@dataclass(frozen=True, slots=True)
class SearchParameters:
    """What a search asks for.

    `limit` and `offset` count results (groups where grouped). `metric` is empty where the index decides. `knobs` are
    what the index is told. `passed` are pairs that go on as they came.
    """

    anns_field: str
    limit: int
    offset: int = 0
    metric: str = ""
    round_decimal: int = -1
    band: Band = field(default_factory=Band)
    grouping: Grouping | None = None
    iteration: Iteration | None = None
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    passed: tuple[tuple[str, str], ...] = ()

    def candidates(self, limit: int, offset: int, metric: str) -> list[c.KeyValuePair]:
        """The pairs of a search for `limit` candidates from `offset` on: nothing but the nearest at rest."""
        knobs = dict(self.knobs)
        for knob in _AT_LEAST_TOPK:
            given = knobs.get(knob)
            if isinstance(given, int | float) and not isinstance(given, bool) and given < limit + offset:
                knobs[knob] = limit + offset
        pairs = {"topk": str(limit), "params": json.dumps(knobs), "round_decimal": "-1"}
        if self.anns_field:
            pairs["anns_field"] = self.anns_field
        if offset:
            pairs["offset"] = str(offset)
        if metric:
            pairs["metric_type"] = metric
        return [c.KeyValuePair(key=key, value=value) for key, value in (*pairs.items(), *self.passed)]


@dataclass(frozen=True, slots=True)
class RankParameters:
    """What a hybrid search asks of the fused ranking; `strategy` and `options` are of its ranker."""

    limit: int
    offset: int = 0
    round_decimal: int = -1
    grouping: Grouping | None = None
    strategy: str = "rrf"
    options: Mapping[str, object] = field(default_factory=dict)


def read_search_parameters(pairs: Iterable[c.KeyValuePair], *, default_limit: int | None = None) -> SearchParameters:
    """The parameters of a search; `default_limit` stands in for a missing `topk` (searches within a hybrid one).

    Raises:
        InvalidArgument: a key that is not known or cannot be served, or a value that is malformed or out of range.
    """
    given = _as_mapping(pairs)
    options = _options(given)
    for key in given:
        if key in _REFUSED:
            raise InvalidArgument(f"search parameter {key} is refused: {_REFUSED[key]}")
        if key not in _READ | _PASSED | _GROUPING | _ITERATION | _KNOBS and key not in _BOUNDS:
            raise InvalidArgument(f"search parameter {key} is not known to VecGuard")
    iteration = _iteration(given)
    limit = _topk(given, default_limit, iteration)
    offset = _offset(given, limit)
    grouping = _grouping(given)
    band = Band(_bound(options, "radius"), _bound(options, "range_filter"))
    _check_combination(grouping, iteration, band, offset)
    if iteration is not None and iteration.version == 2:
        limit, band = iteration.batch, Band(band.radius, band.range_filter, iteration.last_bound)
    return SearchParameters(
        anns_field=given.get("anns_field", ""),
        limit=limit,
        offset=offset,
        metric=given.get("metric_type", ""),
        round_decimal=_round_decimal(given),
        band=band,
        grouping=grouping,
        iteration=iteration,
        knobs=_knobs(options),
        passed=tuple((key, value) for key, value in given.items() if key in _PASSED),
    )


def read_rank_parameters(pairs: Iterable[c.KeyValuePair]) -> RankParameters:
    """The rank parameters of a hybrid search.

    Raises:
        InvalidArgument: a key that is not known, or a value that is malformed or out of range.
    """
    given = _as_mapping(pairs)
    known = {"limit", "offset", "round_decimal", "strategy", "params", "cluster_id", "timezone"} | _GROUPING
    for key in given:
        if key in _REFUSED:
            raise InvalidArgument(f"rank parameter {key} is refused: {_REFUSED[key]}")
        if key not in known:
            raise InvalidArgument(f"rank parameter {key} is not known to VecGuard")
    if "limit" not in given:
        raise InvalidArgument("limit not found in rank_params")
    limit, offset = _integer(given["limit"], "limit"), _integer(given.get("offset", "0"), "offset")
    if limit <= 0:
        raise InvalidArgument(f"invalid max query result window, limit [{limit}] is invalid, should be greater than 0")
    if offset < 0:
        raise InvalidArgument(f"invalid max query result window, offset [{offset}] is invalid, should be gte than 0")
    if limit + offset > MAX_TOPK:
        raise InvalidArgument(
            f"invalid max query result window, (offset+limit) should be in range [1, {MAX_TOPK}], "
            f"but got {limit + offset}"
        )
    return RankParameters(
        limit=limit,
        offset=offset,
        round_decimal=_round_decimal(given),
        grouping=_grouping(given),
        strategy=given.get("strategy", "rrf").lower(),
        options=_json_object(given.get("params", ""), "params"),
    )


def _as_mapping(pairs: Iterable[c.KeyValuePair]) -> dict[str, str]:
    given: dict[str, str] = {}
    for pair in pairs:
        if pair.key in given:
            raise InvalidArgument(f"search parameter {pair.key} is given twice")
        given[pair.key] = pair.value
    return given


def _options(given: Mapping[str, str]) -> dict[str, object]:
    """What the index is told: the JSON text under `params`, and index parameters that stand beside it.

    Clients repeat in the text what they say in pairs.
    """
    options = _json_object(given.get("params", ""), "params")
    for key in [key for key in options if key not in _KNOBS and key not in _BOUNDS]:
        if key not in given or _scalar(given[key]) != _scalar(_text(options[key])):
            raise InvalidArgument(f"search parameter {key} is not known to VecGuard, or not where it stands")
        del options[key]
    return options | {key: _scalar(value) for key, value in given.items() if key in _KNOBS - _PASSED or key in _BOUNDS}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _json_object(text: str, key: str) -> dict[str, object]:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgument(f"{key} is not a JSON object") from None
    if not isinstance(value, dict):
        raise InvalidArgument(f"{key} is not a JSON object")
    return value


def _scalar(text: str) -> object:
    """A value as it would stand in the JSON text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return boolean(text) if text in _TRUE | _FALSE else text


def _knobs(options: Mapping[str, object]) -> dict[str, Knob]:
    knobs: dict[str, Knob] = {}
    for key, value in options.items():
        if key in _BOUNDS:
            continue
        if key not in _KNOBS:
            raise InvalidArgument(f"search parameter {key} is not known to VecGuard")
        if not isinstance(value, int | float | str):
            raise InvalidArgument(f"search parameter {key} must be a number, a text or a switch")
        knobs[key] = value
    return knobs


def _integer(text: str, key: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise InvalidArgument(f"{key} [{text}] is invalid") from None


def boolean(text: str) -> bool:
    """A switch, in the spellings of Go's strconv.ParseBool.

    Raises:
        InvalidArgument: none of them.
    """
    if text not in _TRUE | _FALSE:
        raise InvalidArgument(f"{text} is neither true nor false")
    return text in _TRUE


def number(value: object, key: str) -> float:
    """A finite number, given as one or as its text.

    Raises:
        InvalidArgument: it is none.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        found = float(value)
        if not math.isfinite(found):
            raise ValueError
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{key} [{value}] is not a number") from None
    return found


def _bound(options: Mapping[str, object], key: str) -> float | None:
    return None if options.get(key) is None else number(options[key], key)


def check_limit(value: int, what: str, shown: int | None = None) -> None:
    """Refuse what Milvus takes for no number of results.

    Raises:
        InvalidArgument: not in 1..16384.
    """
    if not 1 <= value <= MAX_TOPK:
        text = f"it should be in range [1, {MAX_TOPK}], but got {value}"
        raise InvalidArgument(f"{what} [{value if shown is None else shown}] is invalid, {text}")


def _topk(given: Mapping[str, str], default: int | None, iteration: Iteration | None) -> int:
    if "topk" not in given:
        if default is None:
            raise InvalidArgument("topk is required")
        return default
    topk = _integer(given["topk"], "topk")
    if iteration is not None and not 1 <= topk <= MAX_TOPK:
        return MAX_TOPK
    check_limit(topk, "topk")
    return topk


def _offset(given: Mapping[str, str], limit: int) -> int:
    offset = _integer(given.get("offset", "0"), "offset")
    if offset:
        check_limit(offset, "offset")
    check_limit(limit + offset, "offset+topk")
    return offset


def _round_decimal(given: Mapping[str, str]) -> int:
    text = given.get("round_decimal", "-1")
    try:
        decimal = int(text, 0)
    except ValueError:
        decimal = _LARGEST_DECIMAL + 1
    if not -1 <= decimal <= _LARGEST_DECIMAL:
        raise InvalidArgument(f"round_decimal [{text}] is invalid, should be -1 or an integer in range [0, 6]")
    return decimal


def _grouping(given: Mapping[str, str]) -> Grouping | None:
    if not given.get("group_by_field"):
        return None
    text = given.get("group_size", "1")
    try:
        size = int(text, 0)
    except ValueError:
        raise InvalidArgument(f"failed to parse input group size:{text}") from None
    if size <= 0:
        raise InvalidArgument(f"input group size:{size} is negative, failed to do search_groupby")
    scorer = given.get("rank_group_scorer", "max")
    if scorer not in _SCORERS:
        raise InvalidArgument(f"input group scorer type: {scorer} is not supported!")
    # As in Milvus, what is no switch is a switch that is off.
    return Grouping(given["group_by_field"], size, given.get("strict_group_size", "") in _TRUE, scorer)


def _iteration(given: Mapping[str, str]) -> Iteration | None:
    is_iterator = given.get("iterator", "") in ("True", "true")
    if given.get("search_iter_v2", "") not in _TRUE:
        return Iteration(1) if is_iterator else None
    if not is_iterator:
        raise InvalidArgument("parse iterator v2 info failed: both iterator and search_iter_v2 must be set in the SDK")
    if not given.get("search_iter_batch_size"):
        raise InvalidArgument("parse iterator v2 info failed: batch size is required")
    batch = _integer(given["search_iter_batch_size"], "search_iter_batch_size")
    check_limit(batch, "search_iter_batch_size")
    bound = given.get("search_iter_last_bound", "")
    last = number(bound, "search_iter_last_bound") if bound else None
    return Iteration(2, batch, last, given.get("search_iter_id", ""))


def _check_combination(grouping: Grouping | None, iteration: Iteration | None, band: Band, offset: int) -> None:
    if grouping is not None and iteration is not None:
        raise InvalidArgument("Not allowed to do groupBy when doing iteration")
    if grouping is not None and band.radius is not None:
        raise InvalidArgument("Not allowed to do range-search when doing search-group-by")
    if iteration is not None and iteration.version == 2 and offset:
        raise InvalidArgument("Setting an offset is not permitted when using a search iterator v2")
