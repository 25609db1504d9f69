"""Every rule of `decide` with an allow and a deny."""

from itertools import combinations

import pytest

from vecguard.errors import Denied
from vecguard.model import ANONYMOUS, Action, Principal
from vecguard.policy.decide import decide
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.model import Access, CollectionPolicy, Limits, Policy

ACTIONS: tuple[Action, ...] = ("read", "write", "admin")
NOTES = Policy(
    version=1,
    access=Access(anonymous=("read",)),
    collections=(CollectionPolicy(match="notes", limits=Limits(max_limit=7)),),
)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("roles", [frozenset(c) for n in range(4) for c in combinations(ACTIONS, n)])
def test_a_credential_may_do_exactly_what_its_roles_say(roles: frozenset[Action], action: Action) -> None:
    principal = Principal("ann", roles)
    if action in roles:
        assert decide(NOTES, principal, action, "notes").principal is principal
    else:
        with pytest.raises(Denied, match=f"`ann` may not {action}"):
            decide(NOTES, principal, action, "notes")


def test_anonymous_callers_may_do_what_access_says() -> None:
    assert decide(NOTES, ANONYMOUS, "read", "notes").collection_policy == NOTES.collections[0]
    with pytest.raises(Denied, match="without a credential may not write"):
        decide(NOTES, ANONYMOUS, "write", "notes")
    with pytest.raises(Denied):
        decide(DEFAULT_POLICY, ANONYMOUS, "admin", None)


def test_roles_do_not_help_whoever_is_anonymous_and_the_name_alone_does_not_make_one() -> None:
    nobody = Policy(version=1, access=Access(anonymous=()), collections=NOTES.collections)
    with pytest.raises(Denied):
        decide(nobody, ANONYMOUS, "read", "notes")
    with pytest.raises(Denied):
        decide(NOTES, Principal("anonymous"), "read", "notes")


def test_a_collection_without_an_entry_is_refused_to_everybody() -> None:
    everything = Principal("root", frozenset(ACTIONS))
    for action in ACTIONS:
        with pytest.raises(Denied, match="no entry for the collection `other`"):
            decide(NOTES, everything, action, "other")
    assert decide(DEFAULT_POLICY, everything, "admin", "other").collection_policy is not None


def test_limits_are_those_of_the_collection_or_the_general_ones() -> None:
    assert decide(NOTES, ANONYMOUS, "read", "notes").limits.max_limit == 7
    listing = decide(NOTES, ANONYMOUS, "read", None)
    assert listing.collection_policy is None
    assert listing.limits == Limits()


def test_the_empty_name_is_a_name_and_not_the_absence_of_one() -> None:
    with pytest.raises(Denied):
        decide(NOTES, ANONYMOUS, "read", "")
