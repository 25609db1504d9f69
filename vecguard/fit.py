"""Whether the policy in force covers a collection, and still fits the protection that it was made with."""

from __future__ import annotations

from collections.abc import Mapping

from vecguard.errors import Denied, FailedPrecondition
from vecguard.manifest import Manifest, VectorRecord, differences
from vecguard.policy.model import CollectionPolicy, Policy


def require_fit(name: str, policy: CollectionPolicy, manifest: Manifest, vectors: Mapping[str, VectorRecord]) -> None:
    """Go on only if a collection, called `name`, is protected as its entry of the policy says.

    Raises:
        FailedPrecondition: it is not; the message names the differences.
    """
    if not policy.protected:
        raise FailedPrecondition(
            f"collection `{name}` is protected, yet {policy.name} says `protect: none`: change the policy"
        )
    changed = differences(manifest, vectors, policy)
    if changed:
        raise FailedPrecondition(
            f"{policy.name} does not fit collection `{name}`: {'; '.join(changed)}; "
            "change the policy back, or carry the collection over with `vecguard migrate`"
        )


def policy_of(rules: Policy, name: str) -> CollectionPolicy:
    """The entry of the policy that covers a collection.

    Raises:
        Denied: none does.
    """
    policy = rules.collection(name)
    if policy is None:
        raise Denied(f"no entry of the policy covers collection `{name}`: add one, or it stays out of reach")
    return policy
