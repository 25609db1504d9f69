"""Which chains of vector transforms make sense. Pure; knows a transform only by what its class says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


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


def chain_faults(transforms: Sequence[TransformTraits], recover: str, rerank_off: bool) -> list[str]:
    """Say everything that is wrong with a chain, in words that tell what to write instead; empty when it is sound."""
    return [*_order_faults(transforms), *_recovery_faults(transforms, recover, rerank_off)]


def _order_faults(transforms: Sequence[TransformTraits]) -> list[str]:
    mixing = [i for i, t in enumerate(transforms) if t.hides_axes]
    noisy = [i for i, t in enumerate(transforms) if t.adds_noise]
    faults: list[str] = []
    if not transforms:
        faults.append(
            "`transforms` is empty, so vectors would be stored in clear: start it with `kind: rotation`, "
            "or say `protect: none` for the collection"
        )
    elif not mixing:
        faults.append("no transform hides the axes: start `transforms` with `kind: rotation`")
    if len(mixing) > 1:
        faults.append("two rotations protect no more than one: keep one `kind: rotation`")
    if len(noisy) > 1:
        names = ", ".join(transforms[i].kind for i in noisy)
        faults.append(f"more than one noise ({names}): keep one and raise its ratio instead")
    if mixing and noisy and noisy[0] < mixing[0]:
        faults.append(
            f"`{transforms[noisy[0]].kind}` stands before `{transforms[mixing[0]].kind}`: "
            "put the rotation first and the noise after it"
        )
    return faults


def _recovery_faults(transforms: Sequence[TransformTraits], recover: str, rerank_off: bool) -> list[str]:
    faults: list[str] = []
    lossy = [t.kind for t in transforms if not t.invertible]
    if recover == "derived" and lossy:
        faults.append(
            f"`recover: derived` needs transforms that can be undone, and `{lossy[0]}` cannot: "
            "use `recover: sealed` (keeps the exact vector encrypted) or `recover: none`"
        )
    if recover == "none" and not rerank_off:
        faults.append(
            "`recover: none` leaves no exact vector to re-score with: add `rerank: off`, "
            "or use `recover: derived` or `recover: sealed`"
        )
    return faults
