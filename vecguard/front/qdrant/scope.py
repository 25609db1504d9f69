"""Where a client's payload lies inside a stored point, and what else lies beside it.

A stored payload is `{"_p": {the client's payload, leaf by leaf protected}, "_vg": "the record"}`, and beside them
`_vgn` once a vector was updated alone, `_vgt` where records are kept for a time, and `_vgk` where tenants have keys
of their own. Keeping the client's payload under one key makes Overwrite and Clear single atomic operations upstream
(set or delete `_p`), so that neither can lose `_vg`, and no key of a client can collide with ours.
"""

from __future__ import annotations

import re
from typing import Final

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument

PAYLOAD = "_p"
RECORD = "_vg"
UPDATED = "_vgn"
WRITTEN = "_vgt"
TENANT = "_vgk"
"""The number of the tenant's key that a point was written under; parts may be under another key of that tenant."""
_STORED_PATH = re.compile(rf"(?<![\w.]){PAYLOAD}\.")


def stored_path(path: str) -> str:
    """The client's payload path as it is stored."""
    return f"{PAYLOAD}.{path}"


def client_path(path: str) -> str | None:
    """The client's form of a stored path; None for what is ours alone."""
    return path.removeprefix(f"{PAYLOAD}.") if path.startswith(f"{PAYLOAD}.") else None


def client_text(details: str) -> str:
    """The text of one of the database's errors, with the stored paths in it as the client knows them."""
    return _STORED_PATH.sub("", details)


def wants_payload(selector: q.WithPayloadSelector) -> bool:
    """Whether a selector asks for any payload (an empty message asks for none, as in Qdrant)."""
    kind = selector.WhichOneof("selector_options")
    return kind in ("include", "exclude") or (kind == "enable" and selector.enable)


_NOTHING: Final = q.WithPayloadSelector(enable=False)
_WHOLE: Final = q.WithPayloadSelector(include=q.PayloadIncludeSelector(fields=[PAYLOAD]))


def stored_selector(selector: q.WithPayloadSelector, *, record: bool) -> q.WithPayloadSelector:
    """The payload selector to send upstream, to be copied and not to be changed: those of most calls are made once.

    `record` says whether the record's entries are needed to open vectors; opening payload needs none of them.
    """
    kind = selector.WhichOneof("selector_options")
    extra = [RECORD, UPDATED] if record else []
    ours = [] if record else [RECORD, UPDATED]
    if kind == "include":
        paths = [stored_path(path) for path in selector.include.fields]
        return q.WithPayloadSelector(include=q.PayloadIncludeSelector(fields=[*paths, *extra]))
    if kind == "exclude":
        paths = [stored_path(path) for path in selector.exclude.fields]
        return q.WithPayloadSelector(exclude=q.PayloadExcludeSelector(fields=[*paths, *ours]))
    whole = kind == "enable" and selector.enable
    if record:
        paths = [PAYLOAD, *extra] if whole else extra
        return q.WithPayloadSelector(include=q.PayloadIncludeSelector(fields=paths))
    return _WHOLE if whole else _NOTHING


def wanted_vectors(selector: q.WithVectorsSelector, names: list[str]) -> list[str]:
    """Names of the vectors that a selector asks for, out of the collection's.

    Raises:
        InvalidArgument: a name is not a vector of the collection.
    """
    kind = selector.WhichOneof("selector_options")
    if kind == "include":
        for name in selector.include.names:
            if name not in names:
                raise InvalidArgument(f"Wrong input: Not existing vector name error: {name}")
        return list(selector.include.names)
    return list(names) if kind == "enable" and selector.enable else []


def vectors_selector(names: list[str], everything: list[str]) -> q.WithVectorsSelector:
    """The selector for exactly `names`; the whole set is asked for by `enable`, as the default vector "" demands."""
    if not names:
        return q.WithVectorsSelector(enable=False)
    if set(names) == set(everything):
        return q.WithVectorsSelector(enable=True)
    return q.WithVectorsSelector(include=q.VectorsSelector(names=names))
