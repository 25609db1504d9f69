"""The policy entry that is made up from a collection's manifest fits the collection, whatever it was made under."""

import pytest
from shields import record_of

from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.manifest import Manifest, differences
from vecguard.policy.model import PayloadRule
from vecguard.policy.tenants import TenantRule
from vecguard.upkeep.access import as_made

PROVIDER = LocalWrapping(Key(bytes(32)))


@pytest.mark.parametrize("ids", ["plain", "encrypted"])
@pytest.mark.parametrize("payload", [PayloadRule(), PayloadRule(fields={"a": "range"}, hash_names=True)])
@pytest.mark.parametrize("tenants", [None, TenantRule(attribute="org")])
def test_it_fits_what_it_was_made_of(ids, payload, tenants) -> None:
    manifest, _ = Manifest.new("notes*", payload, PROVIDER, ids, tenants)
    vectors = {name: record_of(name, recover="sealed") for name in ("", "a?")} | {"s": record_of("s", kind="sparse")}
    assert differences(manifest, vectors, as_made(manifest, vectors)) == []
    other, _ = Manifest.new("notes*", payload, PROVIDER, "plain" if ids == "encrypted" else "encrypted", tenants)
    assert len(differences(other, vectors, as_made(manifest, vectors))) == 1
