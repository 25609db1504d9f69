"""What a rotation of keys cannot bring over is refused before anything changes."""

import contextlib

import pytest
from shields import manifest_of, record_of, ring_of

from vecguard.catalog import StoredManifest
from vecguard.errors import FailedPrecondition
from vecguard.policy.transforms import PcaSpec, RotationSpec
from vecguard.upkeep import rotate

FITTED = (PcaSpec(dims=4, sha256="0" * 64), RotationSpec())


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (record_of("v"), None),
        (record_of("v", recover="sealed"), None),
        (record_of("v", recover="sealed").model_copy(update={"transforms": FITTED}), "projected by a `pca`"),
        (record_of("v", recover="none"), "recover: none"),
    ],
)
def test_only_what_can_be_protected_anew(record, words) -> None:
    parts = rotate._Parts(StoredManifest("", {}), manifest_of(), ring_of(1), {"v": record}, None)
    with pytest.raises(FailedPrecondition, match=words) if words else contextlib.nullcontext():
        rotate._require_recoverable(parts)
