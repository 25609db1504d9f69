"""All defences, and the peers that are installed, on the same vectors: leakage, search quality and cost.

It is the audit lab (docs/audit.md) over a list instead of one policy, so every figure has the same meaning. The list is
dealt to two processes, one a core, which both attack clear storage first: each defence is judged by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.peers import Permutation, peers
from vecguard.audit.data import QUICK, Passages, Sizes, texts_of_folder, texts_of_notes
from vecguard.audit.defence import Defence, Deployment, PolicyDefence, parse_defence
from vecguard.audit.embedders import CachedEmbedder
from vecguard.audit.findings import findings_of
from vecguard.audit.inverters import inverters_for, trainer
from vecguard.audit.outcome import Audit
from vecguard.audit.run import Plan, run_audit
from vecguard.audit.scene import Floats, Tell, embed_texts
from vecguard.audit.took import watch
from vecguard.errors import ConfigError
from vecguard.registry import TRANSFORMS
from vecguard.transform import learned, pca

T = TypeVar("T")

# A run of the whole list in one process takes some 40 minutes.
PROCESSES: Final = 2
# Every mechanism at strengths that leave about as much of search as the Gaussian one of ratio 1 and 2.
LINES: Final = (
    "rotation+gaussian:ratio=1",
    "rotation",
    "rotation+gaussian:ratio=2",
    "cells:count=16+rotation+gaussian:ratio=1",
    "rotation+gaussian:ratio=0.5",
    "rotation+gaussian:ratio=4",
    "rotation+analytic-gaussian:epsilon=955.0",
    "rotation+laplace:epsilon=384.0",
    "rotation+scale-and-perturb:approximation_factor=4.0",
    "rotation+purkayastha:epsilon=384.0",
    "rotation+von-mises-fisher:epsilon=384.0",
    "johnson-lindenstrauss:dims=128",
    "rotation+truncate:dims=128",
    "rotation+int8",
    "rotation+binary",
)
FIRST: Final = 4
"""Of them come before other products, and the others after: who stops a run has had what is compared first."""
# What is fitted or trained on the attacker's own texts, which are like those stored, comes before these.
FITTED_THEN: Final = "rotation+gaussian:ratio=1"
FITTED_DIMS: Final = 64
# Some twenty defences: a fifth of an audit's other texts, and fewer records for the packaged inverter. It is needed,
# since what trains on so few texts fails on clear storage; and so are short sentences, which it reads well enough.
SIZES: Final = Sizes(crowd=2_000, own=3_000)
GENERATED: Final = 24
WORDS: Final = 12
QUICK_LINES: Final = ("rotation", "rotation+gaussian:ratio=1", "rotation+gaussian:ratio=2")
ATTACKS: Final = ("inversion", "alignment", "linkage", "mixture", "permutation", "unsupervised", "membership")
QUICK_ATTACKS: Final = ("inversion", "alignment", "linkage", "permutation", "membership")


def listed(quick: bool) -> list[Defence]:
    """The defences of a run that need no sample: those that this build has, the permutation, the peers."""
    lines = QUICK_LINES if quick else LINES
    known = [line for line in lines if all(part.partition(":")[0] in TRANSFORMS.kinds for part in line.split("+"))]
    ours = [parse_defence(line) for line in known]
    return [*ours[:FIRST], Permutation(), *peers(), *ours[FIRST:]]


def compare(data: Path | None, cache: Path, quick: bool, seed: int, minutes: float, tell: Tell) -> Audit:
    """Run the attacks against all of them, of which none is begun after so many minutes.

    Raises:
        ConfigError: the data set cannot be read.
    """
    took = watch()
    shares = 1 if quick else PROCESSES
    with ProcessPoolExecutor(shares, mp_context=get_context("spawn")) as pool:
        others = [pool.submit(_share, data, cache, quick, seed, minutes, part, shares) for part in range(1, shares)]
        mine = _share(data, cache, quick, seed, minutes, 0, shares, tell)
        audits = [mine, *(other.result() for other in others)]
    return replace(merged(audits), took=took())


def _silent(what: str, done: int, total: int) -> None:
    del what, done, total


def _share(
    data: Path | None,
    cache: Path,
    quick: bool,
    seed: int,
    minutes: float,
    part: int,
    shares: int,
    tell: Tell = _silent,
) -> Audit:
    """One process' part of the list: every `shares`th defence from number `part` on."""
    took = watch()
    sizes = QUICK if quick else SIZES
    texts = texts_of_notes(sizes, seed) if data is None else texts_of_folder(data, sizes, seed, words=WORDS)
    attackers = trainer() if quick else inverters_for("minilm", cache, GENERATED)
    # No attack of the list reads the others.
    texts = replace(texts, foreign=Passages((), ()), personal=(), personal_own=())
    scene = embed_texts(texts, CachedEmbedder("minilm", cache), "minilm", seed, attackers, tell)
    scene = replace(scene, sparing=True)
    names: Sequence[str] = QUICK_ATTACKS if quick else ATTACKS
    known = listed(quick)
    if not quick:
        known += fitted(scene.own.embeddings, cache, seed)
    plan = Plan(tuple(names), tuple(known[part::shares]), risks=False, over=lambda: took().clock > 60 * minutes)
    return run_audit(scene, plan, tell)


def merged(audits: Sequence[Audit]) -> Audit:
    """One audit of all the parts' defences, in the order of the list; of clear storage, the first part's figures."""
    first = audits[0]
    home = {outcome.name: audit for audit in reversed(audits) for outcome in audit.defences}
    defences = (first.defences[0], *_in_turn([audit.defences[1:] for audit in audits]))
    return findings_of(
        replace(
            first,
            defences=defences,
            results=tuple(result for outcome in defences for result in home[outcome.name].of(outcome.name)),
            seconds={place: took for audit in reversed(audits) for place, took in audit.seconds.items()},
            left_out=_in_turn([audit.left_out for audit in audits]),
        )
    )


def _in_turn(parts: Sequence[Sequence[T]]) -> tuple[T, ...]:
    """What was dealt to several, put together again."""
    return tuple(one for turn in zip_longest(*parts) for one in turn if one is not None)


@dataclass(frozen=True)
class Fitted:
    """A projection that is fitted to a sample when it is its turn, before noise and rotation."""

    kind: str
    title: str
    file: Path
    fit: Callable[[Path], str]
    """Writes the fitted file and gives its SHA-256."""

    @property
    def name(self) -> str:
        """See `Defence`."""
        return f"{self.title}+{FITTED_THEN}"

    def deploy(self, dims: int, seed: int) -> Deployment:
        """See `Defence`."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        file = f"dims={FITTED_DIMS},file={self.file.resolve()},sha256={self.fit(self.file)}"
        defence = parse_defence(f"{self.kind}:{file}+{FITTED_THEN}")
        if not isinstance(defence, PolicyDefence):
            raise ConfigError(f"`{self.name}` is no rule of a policy")
        return replace(defence, name=self.name).deploy(dims, seed)


def fitted(sample: Floats, folder: Path, seed: int) -> Iterator[Fitted]:
    """Principal components, and networks trained without and with DP-SGD, of a sample; the files go to `folder`."""
    from vecguard.audit.training.adapter import AdapterPlan, DpPlan, train_adapter

    def learn(plan: AdapterPlan) -> Callable[[Path], str]:
        def fit(file: Path) -> str:
            trained = train_adapter(sample, plan)
            return learned.save(file, trained.layers, trained.privacy)

        return fit

    plain = AdapterPlan(FITTED_DIMS, seed=seed)
    private = replace(plain, group=8, batch=64, steps=400, private=DpPlan(epsilon=8.0, delta=1e-5))
    components = pca.fit(sample, FITTED_DIMS)
    yield Fitted(pca.KIND, f"pca {FITTED_DIMS}", folder / "bench-pca.vga", lambda file: pca.save(file, *components))
    for title, plan, name in (
        (f"learned {FITTED_DIMS}", plain, "plain"),
        (f"learned {FITTED_DIMS} by DP-SGD, epsilon 8", private, "private"),
    ):
        yield Fitted(learned.KIND, title, folder / f"bench-learned-{name}.vga", learn(plan))
