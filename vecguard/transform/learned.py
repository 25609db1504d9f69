"""A learned projection: a small network, trained so that rankings survive and an inverter has a hard time.

Training is in `vecguard.audit.training.adapter` and needs torch; here its weights are read from an artefact and applied
in numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from vecguard.errors import ConfigError, InvalidArgument
from vecguard.metric import norms
from vecguard.transform.artefact import FittedSpec, read_artefact, read_facts, write_artefact
from vecguard.transform.base import Floats, Subkey
from vecguard.transform.one_way import OneWayMap

KIND: Final = "learned"


Layers: TypeAlias = tuple[tuple[Floats, Floats], ...]
"""One or two layers, each weights (out, in) and bias (out,), float32; between two stands max(0, x)."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """What differential privacy the training had, as to one record of its sample more or less; see the trainer.

    `epsilon_rdp` and `epsilon_prv` are Opacus' two accountants' ε at `delta`: Rényi (Mironov 2017), and the numerical
    composition of privacy loss variables (Gopi, Lee & Wutschitz 2021), which is tighter.
    """

    epsilon_rdp: float
    epsilon_prv: float
    delta: float
    noise_multiplier: float
    clip: float
    sample_rate: float
    steps: int


class Learned(OneWayMap):
    """y = ‖x‖ · f(x/‖x‖) / ‖f(x/‖x‖)‖: f a linear layer, or two with max(0, ·) between them.

    Records and queries are mapped alike, and lengths are kept, so that it serves every distance.
    """

    def __init__(self, dims_in: int, dims_out: int, trained: Callable[[], Layers]) -> None:
        """`trained` gives the layers when they are needed."""
        super().__init__(dims_in, dims_out)
        self._layers = cache(trained)

    def apply(self, x: Floats) -> Floats:
        """(n, d) float32 to (n, dims) float32; what has no length stays zero.

        Raises:
            ConfigError, InvalidArgument: see `load`.
        """
        lengths = norms(x)
        y = network(self._layers(), _scaled(x, lengths, np.ones_like(lengths)))
        return _scaled(y, norms(y), lengths)

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"Vectors and queries go through a trained network from {self.dims_in} to {self.dims_out} dimensions; the"
            " exact vector is kept encrypted beside each record.",
            "Against a thief of the database (A) the network is no secret, and what keeps rankings keeps most of what"
            " an inverter needs: training against one inverter does not stop another that is trained on its outputs."
            " The keyed rotation and noise after it protect (docs/audit.md has the figures).",
        ]


def network(layers: Layers, x: Floats) -> Floats:
    """f of rows (n, d) float32: (n, dims) float32."""
    for place, (weights, bias) in enumerate(layers):
        x = np.asarray((np.maximum(x, 0.0) if place else x) @ weights.T + bias, np.float32)
    return x


def save(path: Path, layers: Layers, privacy: Privacy | None) -> str:
    """Write the artefact; returns its SHA-256 for the policy.

    Raises:
        ConfigError: it cannot be written.
    """
    arrays = {name: array for i, pair in enumerate(layers) for name, array in zip(_names(i), pair, strict=True)}
    facts = {} if privacy is None else {key: float(value) for key, value in asdict(privacy).items()}
    return write_artefact(path, KIND, arrays, facts)


def load(spec: FittedSpec, dims: int) -> Layers:
    """`read_named`, for vectors of `dims` dimensions.

    Raises:
        ConfigError: see `read_named`.
        InvalidArgument: it was trained on another number of dimensions.
    """
    layers = read_named(spec)
    if (trained := layers[0][0].shape[1]) != dims:
        raise InvalidArgument(f"the policy's network was trained on vectors of {trained} dimensions; this has {dims}")
    return layers


def read_named(spec: FittedSpec) -> Layers:
    """The layers in the artefact that a policy names.

    Raises:
        ConfigError: see `read_artefact`; or the file holds something else, or none is named.
    """
    if not spec.file:
        raise ConfigError("names no file: add `file`, the artefact that fit-learned wrote")
    arrays = read_artefact(Path(spec.file), spec.sha256, KIND)
    count = len(arrays) // 2
    if count not in (1, 2) or set(arrays) != {name for i in range(count) for name in _names(i)}:
        raise ConfigError(f"{spec.file}: does not hold one layer or two")
    layers = tuple((arrays[weights], arrays[bias]) for weights, bias in map(_names, range(count)))
    widths = [layers[0][0].shape[-1], *(len(bias) for _, bias in layers)]
    if any(w.shape != (widths[i + 1], widths[i]) or b.shape != (widths[i + 1],) for i, (w, b) in enumerate(layers)):
        raise ConfigError(f"{spec.file}: its layers do not fit each other")
    if widths[-1] != spec.dims:
        raise ConfigError(f"{spec.file}: leaves {widths[-1]} dimensions, and the policy says {spec.dims}")
    return layers


def read_privacy(spec: FittedSpec) -> Privacy | None:
    """What the artefact says of its training's differential privacy; None: there was none.

    Raises:
        ConfigError: see `read_artefact`; or it says something else.
    """
    facts = read_facts(Path(spec.file), spec.sha256, KIND)
    if not facts:
        return None
    try:
        steps = int(facts.pop("steps"))
        return Privacy(**facts, steps=steps)
    except (KeyError, TypeError):
        raise ConfigError(f"{spec.file}: does not say how private its training was") from None


def build(spec: FittedSpec, dims: int, subkey: Subkey) -> Learned:
    """Registry entry. The file is read when a vector is first mapped: to open records nobody needs it."""
    return Learned(dims, spec.dims, lambda: load(spec, dims))


def _names(layer: int) -> tuple[str, str]:
    return f"weights {layer}", f"bias {layer}"


def _scaled(x: Floats, lengths: Floats, wanted: Floats) -> Floats:
    factors = np.divide(wanted, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.asarray(x * factors[:, np.newaxis], np.float32)
