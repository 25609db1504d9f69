"""What cannot be answered, or done, while the keys of a collection are rotated, and is refused by name until then."""

from __future__ import annotations

from vecguard.errors import FailedPrecondition
from vecguard.shield import Shield


def rotating(what: str) -> FailedPrecondition:
    """The refusal of `what` during a rotation."""
    return FailedPrecondition(
        f"{what} is refused while the keys of the collection are being rotated, since its records lie there under two "
        "keys: try again when the rotation has ended"
    )


def require_settled(shield: Shield, what: str) -> None:
    """Refuse what would change a manifest under a rotation.

    Raises:
        FailedPrecondition: the keys of the collection are being rotated.
    """
    if shield.rotating:
        raise rotating(what)
