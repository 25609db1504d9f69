"""The comparison of defences and peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from audit.scenes import notes_scene

from benchmarks.defences import LINES, fitted, listed, merged
from benchmarks.peers import Alloy, Hadamask, Permutation, missing_peers
from vecguard.audit.attacks.permutation import matched_coordinates
from vecguard.audit.defence import Defence, parse_defence
from vecguard.audit.outcome import Audit
from vecguard.audit.run import Plan, run_audit
from vecguard.metric import normalize


def rows(count: int = 40, dims: int = 64) -> np.ndarray:
    return normalize(np.random.default_rng(3).standard_normal((count, dims)).astype(np.float32))


def test_the_list_holds_what_this_build_knows() -> None:
    names = [defence.name for defence in listed(quick=False)]
    assert set(names) & set(LINES) >= {"rotation", "rotation+gaussian:ratio=1"}
    assert "(permutation of coordinates)" in names
    assert len(listed(quick=True)) < len(names)


@pytest.mark.slow
def test_what_processes_found_of_their_parts_of_a_list_is_what_one_finds_of_all() -> None:
    lines = ("rotation", "rotation+gaussian:ratio=1", "rotation+gaussian:ratio=2")

    def audited(some: Sequence[str]) -> Audit:
        plan = Plan(("linkage", "permutation"), tuple(map(parse_defence, some)), risks=False)
        return run_audit(notes_scene(), plan, lambda *_: None)

    whole, found = audited(lines), merged([audited(lines[0::2]), audited(lines[1::2])])
    assert [outcome.name for outcome in found.defences] == ["clear", *lines]
    assert found.seconds.keys() == whole.seconds.keys()
    assert timeless(found) == timeless(whole)
    cut = merged([replace(whole, left_out=("a", "c")), replace(whole, left_out=("b",))])
    assert cut.left_out == ("a", "b", "c")


def timeless(audit: Audit) -> Audit:
    """An audit without what the clock had to say."""
    still = [replace(one, utility=replace(one.utility, per_second=0.0, query_us=0.0)) for one in audit.defences]
    return replace(audit, seconds={}, defences=tuple(still))


@pytest.mark.slow
def test_projections_are_fitted_to_a_sample(tmp_path: Path) -> None:
    pytest.importorskip("opacus")
    sample = rows(1_300, 96)
    names = []
    for defence in fitted(sample, tmp_path, seed=0):
        stored = defence.deploy(96, seed=0).store(sample[:20])
        assert stored.vectors.shape == (20, 64)
        names.append(defence.name)
    assert [name.partition("+")[0] for name in names] == ["pca 64", "learned 64", "learned 64 by DP-SGD, epsilon 8"]


def test_a_permutation_keeps_scores_and_falls_to_matching() -> None:
    deployment = Permutation().deploy(64, seed=0)
    clear = rows()
    stored = deployment.store(clear).vectors
    np.testing.assert_allclose(deployment.ask(clear[:3]) @ stored.T, clear[:3] @ clear.T, atol=1e-5)
    order, signs = matched_coordinates(stored[:16], clear[:16])
    np.testing.assert_allclose(stored[:, order] * signs, clear, atol=1e-5)


@pytest.mark.parametrize("peer", [Hadamask(), Alloy(1.0)], ids=lambda peer: peer.name)
def test_a_peer_that_is_installed_hides_vectors_and_is_searchable(peer: Defence) -> None:
    if any(name.partition("-")[0] in peer.name for name in missing_peers()):
        pytest.skip("not installed (extra `peers`)")
    deployment = peer.deploy(64, seed=0)
    clear = rows()
    stored = deployment.store(clear)
    assert abs(float(np.vecdot(stored.vectors[:, :64], clear).mean())) < 0.3
    found, _ = deployment.search(stored, clear[:10], 1)
    assert [ids[0] for ids in found] == list(range(10))
