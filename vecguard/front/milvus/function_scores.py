"""Rerank functions of a request: `FunctionScore` messages, and the older rank parameters of a hybrid search, read.

Source of keys, defaults and words: milvus-io/milvus, internal/util/function/chain/rerank_builder.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Final

from vecguard.errors import InvalidArgument, Refused
from vecguard.front.milvus import filters
from vecguard.front.milvus.layout import Layout
from vecguard.front.milvus.proto import s
from vecguard.front.milvus.rankers import DEFAULT_K, Curve, Decay, Mode, Ranker, ReciprocalRank, Weighted
from vecguard.front.milvus.search_parameters import RankParameters, boolean, number
from vecguard.shield import Shield

_CURVES: Final[dict[str, Curve]] = {"gauss": "gauss", "exp": "exp", "linear": "linear"}
_MODES: Final[dict[str, Mode]] = {"max": "max", "sum": "sum", "avg": "avg"}
_KNOWN: Final[dict[str, frozenset[str]]] = {
    "rrf": frozenset({"k"}),
    "weighted": frozenset({"weights", "norm_score"}),
    "decay": frozenset({"function", "origin", "scale", "offset", "decay", "score_mode", "norm_score"}),
}
# How a database joins the scores of several functions.
_MODES_OF_SCORES: Final = frozenset({"boost_mode", "function_mode"})
MODEL_REFUSED: Final = (
    "reranker model is refused: it sends the texts of records to a service outside, from a database that has them only "
    "sealed. Rerank in the application, on the texts that VecGuard returns"
)
BOOST_REFUSED: Final = (
    "reranker boost is refused on a protected collection: the database would apply it to scores at rest, before they "
    "are made exact. Search twice, with the filter and without, and weigh the results"
)


@dataclass(frozen=True, slots=True)
class _Function:
    """A rerank function: its name among rerankers, its parameters with keys in lower case, its input fields."""

    name: str
    options: Mapping[str, str]
    inputs: tuple[str, ...]


def read_function_score(message: s.FunctionScore) -> Ranker:
    """The one ranker that a request names.

    Raises:
        InvalidArgument: none or several, or parameters that are missing, unknown or out of range.
        Refused: a reranker that cannot be computed without giving text or scores away.
    """
    if len(message.functions) != 1 or message.params:
        raise InvalidArgument(f"Currently only supports one rerank, but got {len(message.functions)}")
    function = _read(message.functions[0])
    if function.name == "model":
        raise Refused(MODEL_REFUSED)
    if function.name == "boost":
        raise Refused(BOOST_REFUSED)
    known = _KNOWN.get(function.name)
    if known is None:
        supported = ", ".join(_KNOWN)
        raise InvalidArgument(f"Unsupported rerank function: [{function.name}] , list of supported [{supported}]")
    _require_known(function.options.keys(), known, f"reranker {function.name}")
    if function.name == "decay":
        return _decay(function)
    if function.inputs:
        inputs = " ".join(function.inputs)
        raise InvalidArgument(f"The {function.name} function does not support input parameters, but got [{inputs}]")
    return _weighted(function.options) if function.name == "weighted" else _rrf(function.options)


def _require_known(given: Set[str], known: Set[str], what: str) -> None:
    unknown = sorted(given - known)
    if unknown:
        raise InvalidArgument(f"parameter {unknown[0]} of {what} is not known to VecGuard")


def for_database(message: s.FunctionScore, layout: Layout, shield: Shield) -> s.FunctionScore | None:
    """The rerank functions as the database can compute them where its own distances are exact, else None.

    Raises:
        Refused: a reranker that sends text outside.
        InvalidArgument: a filter of one of them that a field's mode cannot answer.
    """
    stored = s.FunctionScore()
    stored.CopyFrom(message)
    _require_known({pair.key for pair in message.params}, _MODES_OF_SCORES, "function_score")
    for function in stored.functions:
        function.ClearField("description")
        read = _read(function)
        if read.name == "model":
            raise Refused(MODEL_REFUSED)
        for name in read.inputs:
            if layout.column(name).protected:
                return None
        if read.name == "boost":
            _rewrite_boost(function, layout, shield)
        elif read.name not in _KNOWN:
            return None
        else:
            _require_known(read.options.keys(), _KNOWN[read.name], f"reranker {read.name}")
    return stored


def _rewrite_boost(function: s.FunctionSchema, layout: Layout, shield: Shield) -> None:
    """Put a boost's filter into its form at rest, in place."""
    for pair in function.params:
        key = pair.key.lower()
        if key == "filter":
            pair.value = filters.rewrite(pair.value, {}, layout, shield).text
        elif key not in ("reranker", "weight"):
            raise InvalidArgument(f"parameter {pair.key} of reranker boost is not known to VecGuard")


def read_rank_strategy(rank: RankParameters) -> Ranker:
    """The ranker that a hybrid search's own rank parameters name.

    Raises:
        InvalidArgument: parameters that are missing, unknown or out of range.
    """
    known = _KNOWN.get(rank.strategy) if rank.strategy != "decay" else None
    if known is None:
        raise InvalidArgument(f"unsupported rank type {rank.strategy}")
    unknown = sorted(rank.options.keys() - known)
    if unknown:
        raise InvalidArgument(f"rank parameter {unknown[0]} is not known to VecGuard")
    options = {key: value if isinstance(value, str) else json.dumps(value) for key, value in rank.options.items()}
    return _weighted(options) if rank.strategy == "weighted" else _rrf(options)


def _read(function: s.FunctionSchema) -> _Function:
    if function.type != s.FunctionType.Rerank:
        # Numbers of newer versions have no name here.
        kind = next((name for name, value in s.FunctionType.items() if value == function.type), str(function.type))
        raise InvalidArgument(f"{kind} is not rerank function.")
    if function.output_field_names:
        count = len(function.output_field_names)
        raise InvalidArgument(f"Rerank function should not have output field, but now is {count}")
    options = {pair.key.lower(): pair.value for pair in function.params}
    if len(options) < len(function.params):
        raise InvalidArgument(f"a parameter of rerank function {function.name} is given twice: invalid parameter")
    name = options.pop("reranker", "").lower()
    if not name and "provider" in options:
        name = "model"
    return _Function(name, options, tuple(function.input_field_names))


def _rrf(options: Mapping[str, str]) -> ReciprocalRank:
    return ReciprocalRank(number(options["k"], "k") if "k" in options else DEFAULT_K)


def _weighted(options: Mapping[str, str]) -> Weighted:
    text = options.get("weights", "[]")
    try:
        weights = json.loads(text)
    except (ValueError, RecursionError):
        weights = None
    if not isinstance(weights, list):
        raise InvalidArgument(f"Parse weights param failed, weight should be []float, bug got: {text}")
    return Weighted(tuple(number(weight, "weights") for weight in weights), boolean(options.get("norm_score", "false")))


def _decay(function: _Function) -> Decay:
    options = function.options
    if len(function.inputs) != 1:
        count = len(function.inputs)
        raise InvalidArgument(f"rerank_builder: decay reranker requires exactly 1 input field, got {count}")
    for key in ("function", "origin", "scale"):
        if key not in options:
            raise InvalidArgument(f"decay {key} not specified")
    curve, mode = _CURVES.get(options["function"].lower()), _MODES.get(options.get("score_mode", "max").lower())
    if curve is None:
        raise InvalidArgument(f'decay: invalid function "{options["function"]}", must be one of [gauss, exp, linear]')
    if mode is None:
        raise InvalidArgument(f"unsupported score_mode: {options['score_mode']}, only supports [max, sum, avg]")
    return Decay(
        field=function.inputs[0],
        curve=curve,
        origin=number(options["origin"], "decay param origin"),
        scale=number(options["scale"], "decay param scale"),
        offset=number(options.get("offset", "0"), "decay param offset"),
        decay=number(options.get("decay", "0.5"), "decay param decay"),
        mode=mode,
        normalize=boolean(options.get("norm_score", "false")),
    )
