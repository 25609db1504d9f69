"""What a front reads out of one served call about one collection, in the client's own terms.

It lives for a moment: `vecguard.detect.sketch` makes an `Observation` of it, which holds no id and no vector any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.observation import Leaving, Operation

Id: TypeAlias = int | str
NO_QUERY = -1
"""In `Reading.query_of`: no query vector found this record."""


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """Dense vectors of one name, `(n, d)` float32, each of which counts by itself."""

    name: str
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """One sparse vector: `indices` `(n,)` uint32 and `values` `(n,)` float32."""

    name: str
    indices: NDArray[np.uint32]
    values: NDArray[np.float32]


Vectors: TypeAlias = Dense | Sparse


def count_of(vectors: Sequence[Vectors]) -> int:
    """How many vectors these are."""
    return sum(len(some.rows) if isinstance(some, Dense) else 1 for some in vectors)


def mean_row(name: str, rows: NDArray[np.float32]) -> Dense:
    """A multivector `(rows, d)` as the one vector that stands for it: the mean of its rows."""
    # Summed in float64: the sum of rows that float32 holds may be beyond it.
    return Dense(name, rows.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32))


@dataclass(slots=True)
class Reading:
    """One served call on one collection, `collection` being its name as the client called it.

    `ids`, `query_of` and `scores` go together, one of each for a record of the answer; `scores` are NaN where none
    left. `vectors` are those of the answer, of the records `vector_ids`, one for each. `filters` are the structures
    of the call's filters, without values; `filter_ids` how many ids they name. `canaries` as in `Observation`.
    """

    collection: str
    operation: Operation
    queries: list[Vectors] = field(default_factory=list)
    ids: list[Id] = field(default_factory=list)
    query_of: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    vector_ids: list[Id] = field(default_factory=list)
    written: list[Id] = field(default_factory=list)
    written_vectors: list[Vectors] = field(default_factory=list)
    left: set[Leaving] = field(default_factory=set)
    limit: int = 0
    offset: int = 0
    exact: bool = False
    filters: list[str] = field(default_factory=list)
    filter_ids: int = 0
    canaries: list[int] = field(default_factory=list)
