"""Which chains of vector transforms make sense. Pure; knows a transform only by what its class says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vecguard.policy.faults import Fault


class TransformTraits(Protocol):
    """What a transform's policy entry declares about its kind."""

    @property
    def kind(self) -> str:
        """Name in the policy file."""

    @property
    def hides_axes(self) -> bool:
        """Whether the stored coordinates are a keyed mix of the original ones."""

    @property
    def adds_noise(self) -> bool:
        """Whether it adds keyed noise."""

    @property
    def invertible(self) -> bool:
        """Whether the key and the record's nonce alone give the exact vector back."""

    @property
    def projects(self) -> bool:
        """Whether it maps to fewer dimensions, so that scores at rest are off by what is lost."""

    @property
    def rounds(self) -> bool:
        """Whether it leaves few values a coordinate, and has to come last."""

    @property
    def divides(self) -> bool:
        """Whether it deals records to parts whose scores at rest cannot be compared."""

    @property
    def unit_only(self) -> bool:
        """Whether it is noise whose strength is that for unit vectors."""

    @property
    def clips(self) -> bool:
        """Whether vectors are shortened to a norm, so that exact scores may not be those of what is stored."""


def chain_faults(
    transforms: Sequence[TransformTraits], recover: str, rerank_off: bool, *, certified: bool = True
) -> list[Fault]:
    """Find everything that is wrong with a chain; places are relative to the vector rule; empty when it is sound.

    `certified`: the rule for re-ranking relies on a certificate.
    """
    found = [*_order_faults(transforms), *_loss_faults(transforms), *_recovery_faults(transforms, recover, rerank_off)]
    found += _division_faults(transforms, recover, rerank_off)
    lossy = [t.kind for t in transforms if t.projects or t.rounds]
    if lossy and certified and not rerank_off and recover != "none":
        text = f"a certificate does not cover what `{lossy[0]}` loses: say `rerank: {{candidates: 200}}`, or `off`"
        found.append(Fault(("rerank",), text))
    clipping = [t.kind for t in transforms if t.clips]
    if clipping and certified and not rerank_off and recover == "sealed":
        text = f"a certificate does not cover what `{clipping[0]}` clips of exact vectors: say `rerank: {{candidates: "
        found.append(Fault(("rerank",), f"{text}200}}`, or use `recover: derived`, which gives clipped vectors back"))
    return found


def _division_faults(transforms: Sequence[TransformTraits], recover: str, rerank_off: bool) -> list[Fault]:
    dividing = [i for i, t in enumerate(transforms) if t.divides]
    if not dividing:
        return []
    kind = transforms[dividing[0]].kind
    faults = [Fault(("transforms", i), f"`{kind}` has to come first, and once") for i in dividing if i]
    if recover == "none":
        faults.append(Fault(("recover",), f"`{kind}` needs exact vectors to merge by: use `derived` or `sealed`"))
    elif rerank_off:
        faults.append(Fault(("rerank",), f"`{kind}` needs it, since scores at rest of two cells cannot be compared"))
    return faults


def _loss_faults(transforms: Sequence[TransformTraits]) -> list[Fault]:
    faults: list[Fault] = []
    projecting = [i for i, t in enumerate(transforms) if t.projects]
    for i in projecting[1:]:
        kept = transforms[projecting[0]].kind
        faults.append(Fault(("transforms", i), f"more than one projection: keep the `{kept}` above, or this"))
    for i, noise in enumerate(transforms):
        if noise.unit_only and projecting:
            shorter = transforms[projecting[0]].kind
            text = f"`{noise.kind}` is made for the length of vectors, which `{shorter}` changes: use `gaussian`"
            faults.append(Fault(("transforms", i), text))
        later = [t.kind for t in transforms[i + 1 :]]
        if noise.rounds and later:
            faults.append(Fault(("transforms", i), f"`{noise.kind}` has to come last, after `{later[-1]}`"))
    return faults


def _order_faults(transforms: Sequence[TransformTraits]) -> list[Fault]:
    mixing = [i for i, t in enumerate(transforms) if t.hides_axes]
    noisy = [i for i, t in enumerate(transforms) if t.adds_noise]
    if not transforms:
        return [
            Fault(
                ("transforms",),
                "is empty, so vectors would be stored in clear: start it with "
                "`kind: rotation`, or say `protect: none` for the collection",
            )
        ]
    faults: list[Fault] = []
    if not mixing:
        faults.append(Fault(("transforms",), "no transform hides the axes: start it with `kind: rotation`"))
    for i in mixing[1:]:
        kept = transforms[mixing[0]].kind
        faults.append(
            Fault(("transforms", i), f"two rotations protect no more than one: keep the `kind: {kept}` above, or this")
        )
    for i in noisy[1:]:
        faults.append(
            Fault(
                ("transforms", i),
                f"more than one noise: keep the `{transforms[noisy[0]].kind}` above and make it stronger instead",
            )
        )
    before = [t.kind for t in transforms[noisy[0] :] if t.hides_axes or t.projects] if noisy else []
    if before:
        faults.append(
            Fault(
                ("transforms", noisy[0]),
                f"`{transforms[noisy[0]].kind}` stands before `{before[0]}`: put that first and the noise after it",
            )
        )
    return faults


def _recovery_faults(transforms: Sequence[TransformTraits], recover: str, rerank_off: bool) -> list[Fault]:
    faults: list[Fault] = []
    lossy = [t.kind for t in transforms if not t.invertible]
    if recover == "derived" and lossy:
        faults.append(
            Fault(
                ("recover",),
                f"`derived` needs transforms that can be undone, and `{lossy[0]}` cannot: "
                "use `sealed` (keeps the exact vector encrypted) or `none`",
            )
        )
    if recover == "none" and not rerank_off:
        faults.append(
            Fault(
                ("rerank",),
                "`recover: none` leaves no exact vector to re-score with: say `rerank: off`, "
                "or use `recover: derived` or `recover: sealed`",
            )
        )
    return faults
