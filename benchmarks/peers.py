"""Other products' protection of vectors, each behind the lab's own protocol, where its package is installed.

`ironcore-alloy` (Cloaked AI: permutation of coordinates and Scale-and-Perturb noise) and `hadamask` (a keyed Hadamard
transform, or a dense one) are SDKs: they have no proxy, so nothing opens and re-scores candidates. Extra `peers`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.defence import Defence, Deployment, Stored, nearest, record_ids
from vecguard.metric import normalize

Floats = NDArray[np.float32]

# IronCore's documentation starts from the square root of the largest coordinate; 2.5 is the value of its examples.
ALLOY_FACTORS = (1.0, 2.5)
_PROBES = 32


def peers() -> Iterator[Defence]:
    """The peers that are installed."""
    if find_spec("hadamask") is not None:
        yield Hadamask()
    if find_spec("ironcore_alloy") is not None:
        yield from (Alloy(factor) for factor in ALLOY_FACTORS)


def missing_peers() -> list[str]:
    """The packages of the peers that are not installed."""
    return [
        name
        for name, module in (("ironcore-alloy", "ironcore_alloy"), ("hadamask", "hadamask"))
        if find_spec(module) is None
    ]


@dataclass(frozen=True)
class Permutation:
    """Secret order and signs of coordinates: what several schemes rest on, and what a policy does not offer."""

    name: str = "(permutation of coordinates)"

    def deploy(self, dims: int, seed: int) -> Deployment:
        """See `Defence`."""
        random = np.random.default_rng(_secret(seed, self.name)[0])
        order, signs = random.permutation(dims), random.choice([-1.0, 1.0], dims).astype(np.float32)
        return _Scanned(self.name, lambda x: x[:, order] * signs, lambda q: q[:, order] * signs, 0.0)


@dataclass(frozen=True)
class Hadamask:
    """hadamask's default transform."""

    name: str = "hadamask (peer)"

    def deploy(self, dims: int, seed: int) -> Deployment:
        """See `Defence`."""
        from hadamask import MasterKey, Protector

        client = Protector(MasterKey(_secret(seed, self.name), "k1"))
        return _Scanned(self.name, client.encode, client.encode, 0.0)


@dataclass(frozen=True)
class Alloy:
    """ironcore-alloy's standalone vector client at one approximation factor."""

    factor: float

    @property
    def name(self) -> str:
        """See `Defence`."""
        return f"ironcore-alloy {self.factor:g} (peer)"

    def deploy(self, dims: int, seed: int) -> Deployment:
        """See `Defence`; the noise's strength, which the package does not state, is read off protected probes."""
        client = _AlloyClient(self.factor, _secret(seed, self.name) * 2)
        probes = np.random.default_rng(0).standard_normal((_PROBES, dims)).astype(np.float32)
        lengths = np.linalg.norm(client.encrypt(normalize(probes)), axis=1)
        ratio = float(np.sqrt(max(np.mean(lengths**2) - 1.0, 0.0)))
        return _Scanned(self.name, client.encrypt, client.ask, ratio)


class _AlloyClient:
    """The package's asynchronous API, called from here."""

    def __init__(self, factor: float, secret: bytes) -> None:
        import ironcore_alloy as alloy

        self._alloy: Any = alloy
        kept = alloy.RotatableSecret(alloy.StandaloneSecret(1, alloy.Secret(secret)), None)
        vectors = {"audit": alloy.VectorSecret(factor, kept)}
        standard = alloy.StandardSecrets(None, [])
        self._client: Any = alloy.Standalone(alloy.StandaloneConfiguration(standard, {}, vectors)).vector()
        self._metadata: Any = alloy.AlloyMetadata.new_simple("audit")

    def encrypt(self, x: Floats) -> Floats:
        done = asyncio.run(self._encrypt(x))
        return np.array([done.successes[str(i)].encrypted_vector for i in range(len(x))], np.float32)

    def ask(self, q: Floats) -> Floats:
        done = asyncio.run(self._ask(q))
        return np.array([done[str(i)][0].encrypted_vector for i in range(len(q))], np.float32)

    async def _encrypt(self, x: Floats) -> Any:
        return await self._client.encrypt_batch(self._plain(x), self._metadata)

    async def _ask(self, q: Floats) -> Any:
        return await self._client.generate_query_vectors(self._plain(q), self._metadata)

    def _plain(self, rows: Floats) -> dict[str, Any]:
        plain = self._alloy.PlaintextVector
        return {
            str(i): plain(plaintext_vector=row, secret_path="audit", derivation_path="")
            for i, row in enumerate(rows.tolist())
        }


class _Scanned:
    """A scheme without re-ranking: the protected order is the answer."""

    def __init__(self, name: str, protect: Any, ask: Any, noise_ratio: float) -> None:
        self.name = name
        self.noise_ratio = noise_ratio
        self.cells = 1
        self._protect, self._ask = protect, ask

    def public(self, x: Floats) -> Floats:
        return x

    def store(self, x: Floats, first_id: int = 0) -> Stored:
        vectors = normalize(np.asarray(self._protect(normalize(x)), np.float32))
        return Stored(record_ids(len(x), first_id), vectors, (None,) * len(x))

    def ask(self, q: Floats) -> Floats:
        return np.asarray(self._ask(normalize(q)), np.float32)

    def search(self, stored: Stored, q: Floats, k: int) -> tuple[list[list[int]], NDArray[np.int64]]:
        return nearest(stored.vectors, self.ask(q), k), np.full(len(q), k, np.int64)


def _secret(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"peer {seed} {name}".encode()).digest()
