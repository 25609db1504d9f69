"""Chains of transforms: the sound ones pass, every unsound one is named."""

from dataclasses import dataclass

import pytest

from vecguard.policy.chain import TransformTraits, chain_faults
from vecguard.policy.transforms import GaussianSpec, Int8Spec, LaplaceSpec, RotationSpec, TruncateSpec


@dataclass(frozen=True)
class Projection:
    """A transform that loses information, as later kinds will."""

    kind: str = "projection"
    hides_axes: bool = True
    adds_noise: bool = False
    invertible: bool = False
    projects: bool = True
    rounds: bool = False
    unit_only: bool = False
    clips: bool = False
    divides: bool = False


ROTATION, NOISE, LOSSY, UNIT, ROUND = RotationSpec(), GaussianSpec(), Projection(), LaplaceSpec(epsilon=9), Int8Spec()


@pytest.mark.parametrize(
    ("chain", "recover", "rerank_off"),
    [
        ([ROTATION], "derived", False),
        ([ROTATION, NOISE], "derived", False),
        ([ROTATION, NOISE], "sealed", False),
        ([ROTATION, NOISE], "none", True),
        ([LOSSY, NOISE], "sealed", False),
        ([LOSSY], "none", True),
        ([TruncateSpec(dims=4), ROTATION, NOISE, ROUND], "sealed", False),
        ([ROTATION, TruncateSpec(dims=4)], "sealed", False),
        ([ROTATION, UNIT, ROUND], "sealed", False),
    ],
)
def test_sound_chains_have_no_fault(chain: list[TransformTraits], recover: str, rerank_off: bool) -> None:
    assert chain_faults(chain, recover, rerank_off, certified=not any(t.projects or t.rounds for t in chain)) == []


@pytest.mark.parametrize(
    ("chain", "recover", "rerank_off", "at", "words"),
    [
        ([], "derived", False, ("transforms",), "stored in clear"),
        ([NOISE], "derived", False, ("transforms",), "hides the axes"),
        ([NOISE, ROTATION], "derived", False, ("transforms", 0), "stands before"),
        ([ROTATION, NOISE, NOISE], "derived", False, ("transforms", 2), "more than one noise"),
        ([ROTATION, ROTATION], "derived", False, ("transforms", 1), "two rotations"),
        ([LOSSY], "derived", False, ("recover",), "cannot"),
        ([ROTATION], "none", False, ("rerank",), "rerank: off"),
        ([LOSSY, Projection("other", hides_axes=False)], "none", True, ("transforms", 1), "more than one projection"),
        ([LOSSY, UNIT], "none", True, ("transforms", 1), "made for the length of vectors"),
        ([ROTATION, ROUND, NOISE], "none", True, ("transforms", 1), "has to come last"),
        ([ROTATION, ROUND], "sealed", False, ("rerank",), "candidates: 200"),
        ([LOSSY], "sealed", False, ("rerank",), "does not cover"),
    ],
)
def test_each_unsound_chain_is_named_in_its_place(
    chain: list[TransformTraits], recover: str, rerank_off: bool, at: tuple[str | int, ...], words: str
) -> None:
    (fault,) = chain_faults(chain, recover, rerank_off, certified=recover == "sealed")
    assert fault.at == at
    assert words in fault.text


def test_all_faults_are_found_at_once() -> None:
    faults = chain_faults([NOISE, LOSSY, NOISE], "derived", False, certified=False)
    assert [fault.at for fault in faults] == [("transforms", 2), ("transforms", 0), ("recover",)]
