"""Coordinates in which stored records are opened: the client's own, or wherever scores are the same at less cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vecguard.transform.base import Floats, Nonces
from vecguard.transform.chain import Chain


@dataclass(frozen=True, slots=True)
class Frame:
    """One choice of coordinates.

    reach: the way there from `(y, scale, nonces)` as `Chain.inverse` takes them, to `(n, d)` float32, a new array.
    sketch: `(d, 8)` float32 whose product with a vector in these coordinates is the sketch of the exact one.
    """

    reach: Callable[[Floats, Floats, Nonces], Floats]
    sketch: Floats


def exact_frame(chain: Chain, sketch: Floats) -> Frame:
    """The client's own coordinates, for a sketch matrix `(dims_in, 8)` float32; see `stored_frame`, too."""
    return Frame(chain.inverse, sketch) if chain.invertible else stored_frame(chain, sketch)


def stored_frame(chain: Chain, sketch: Floats) -> Frame:
    """The stored coordinates themselves, where a chain cannot be undone: sketches are of stored vectors then."""
    return Frame(lambda y, scale, nonces: y, sketch[: chain.dims_out])


def scoring_frame(chain: Chain, sketch: Floats) -> Frame:
    """The coordinates that are the cheapest to reach and keep every score.

    An isometric chain leaves records mapped, since x·q = R x · R q, and x·S = R x · R S for the sketch.
    """
    if not chain.isometric:
        return exact_frame(chain, sketch)
    return Frame(chain.denoise, np.ascontiguousarray(chain.query(np.ascontiguousarray(sketch.T)).T))
