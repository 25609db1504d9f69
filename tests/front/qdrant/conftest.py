"""A shield with every kind of vector, for tests that need no server."""

import pytest
from shields import record_of, shield_of

from vecguard.fields import Fields
from vecguard.shield import Shield


@pytest.fixture(scope="session")
def shield() -> Shield:
    """The unnamed dense vector, `other` (dense, euclid), `multi`, `words` (sparse), `lost` (nobody recovers it)."""
    return shield_of(
        record_of(""),
        record_of("other", 8, "euclid"),
        record_of("multi", 8, kind="multi"),
        record_of("words", kind="sparse"),
        record_of("lost", 8, recover="none"),
    )


@pytest.fixture(scope="session")
def fields(shield: Shield) -> Fields:
    """Fields `open` (plain), `word` (searchable), `deep` (searchable, but `deep.open` plain); all others sealed."""
    return shield.fields
