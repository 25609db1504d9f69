"""Every rule of `decide` with an allow and a deny."""

from itertools import combinations

import pytest

from vecguard.errors import Denied
from vecguard.model import ANONYMOUS, Action, Principal
from vecguard.policy.access import Access
from vecguard.policy.decide import admit, decide
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.limits import Limits
from vecguard.policy.model import CollectionPolicy, Policy

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


TENANTS = Policy.model_validate(
    {
        "version": 1,
        "access": {
            "anonymous": [],
            "roles": [
                {
                    "name": "tenant",
                    "grants": [{"actions": ["read"], "operations": ["Query"]}],
                    "row_filter": {"tenant": {"attribute": "tenant"}},
                    "rate": {"calls_per_s": 5},
                }
            ],
        },
        "collections": [{"match": "notes*"}],
    }
)


def tenant(name: str) -> Principal:
    """The same account each time, with another attribute."""
    return Principal("app", frozenset({"tenant"}), attributes={"tenant": (name,)})


def test_what_is_remembered_is_of_the_same_principal_in_all_it_has() -> None:
    asked = [decide(TENANTS, tenant(name), "read", "notes", "Points/Query") for name in ("a", "b", "a")]
    assert [grant.rows[0].values for grant in asked] == [("a",), ("b",), ("a",)]
    assert asked[0] is asked[2]
    with pytest.raises(Denied, match="has no attribute"):
        decide(TENANTS, Principal("app", frozenset({"tenant"})), "read", "notes", "Points/Query")


def test_a_yes_to_one_question_is_none_to_another() -> None:
    assert decide(TENANTS, tenant("a"), "read", "notes", "Points/Query")
    for action, name, operation in (("write", "notes", "Points/Query"), ("read", "notes", "Points/Scroll")):
        with pytest.raises(Denied):
            decide(TENANTS, tenant("a"), action, name, operation)  # type: ignore[arg-type]  # not narrowed in the loop
    with pytest.raises(Denied):
        decide(TENANTS, tenant("a"), "read", "other", "Points/Query")


def test_what_is_remembered_is_forgotten_with_the_policy_and_bounded() -> None:
    assert decide(TENANTS, tenant("a"), "read", "notes", "Points/Query")
    for deep in (False, True):
        closed = TENANTS.model_copy(update={"access": Access(anonymous=())}, deep=deep)
        with pytest.raises(Denied):
            decide(closed, tenant("a"), "read", "notes", "Points/Query")
        with pytest.raises(Denied):
            admit(closed, tenant("a"), "read", "Points/Query")
    for number in range(3_000):
        decide(TENANTS, tenant("a"), "read", f"notes{number}", "Points/Query")
    assert 0 < len(TENANTS.answers.grants) <= 1_024


def test_names_of_any_length_are_answered_and_long_ones_not_kept() -> None:
    policy = TENANTS.model_copy()
    assert decide(policy, tenant("a"), "read", "notes" + "x" * 10, "Points/Query")
    kept = len(policy.answers.grants), len(policy.answers.entries)
    assert kept == (1, 1)
    assert decide(policy, tenant("a"), "read", "notes" + "x" * 100_000, "Points/Query")
    assert (len(policy.answers.grants), len(policy.answers.entries)) == kept


def test_the_first_question_of_a_call_tells_its_rates_each_time() -> None:
    for _ in range(2):
        assert [held.role for held in admit(TENANTS, tenant("a"), "read", "Points/Query")] == ["tenant"]
        with pytest.raises(Denied, match="may not call Scroll"):
            admit(TENANTS, tenant("a"), "read", "Points/Scroll")


KEEPER = Policy.model_validate(
    {
        "version": 1,
        "access": {
            "anonymous": [],
            "roles": [
                {
                    "name": "keeper",
                    "grants": [
                        {"actions": ["admin"], "rows": "all"},
                        {"actions": ["read", "write"]},
                    ],
                    "row_filter": {"tenant": {"attribute": "tenant"}},
                }
            ],
        },
        "collections": [{"match": "*"}],
    }
)


def test_the_whole_server_is_under_a_row_filter_as_its_collections_are() -> None:
    keeper = Principal("ann", frozenset({"keeper"}), attributes={"tenant": ("a",)})
    assert decide(KEEPER, keeper, "write", None, "MilvusService/DropDatabase").rows[0].values == ("a",)
    assert decide(KEEPER, keeper, "admin", None, "Snapshots/ListFull").rows == ()
    assert decide(KEEPER, keeper, "read", None, "Collections/List").rows == ()
