"""Ids of planted records ("canaries"): made from the collection's detection key, so that whoever holds it knows them.

A planted record is a record like any other; only its id says what it is, and only to who has the key. So nothing has to
be remembered or kept in step: every process that can open a collection knows all ids that could ever be planted in it.
Number i, 0 <= i < 256, has three forms, of which the one is planted that the collection's own ids have:

    uuid4, uuid5  AES-256(key, u64 LE i || u64 LE 0), with version and variant of RFC 9562
    number        the first eight bytes, little-endian, of AES-256(key, u64 LE i || u64 LE 1); where keys are signed
                  (Milvus), the number of the same 64 bits

A record of a client's has such an id by chance with a probability of 2^-55 at most.
"""

from __future__ import annotations

import uuid
from typing import Final, Literal, TypeAlias

import numpy as np

from vecguard.keys.key import Key
from vecguard.transform.keystream import encrypt_blocks

Form: TypeAlias = Literal["uuid4", "uuid5", "number"]
FORMS: Final[tuple[Form, ...]] = ("uuid4", "uuid5", "number")
PlantedId: TypeAlias = int | str

_VERSIONS: Final[dict[Form, int]] = {"uuid4": 4, "uuid5": 5}
_HALF: Final = 2**63


def signed(number: PlantedId) -> int:
    """The signed number of the same 64 bits, of one below 2^64."""
    return (int(number) + _HALF) % (2 * _HALF) - _HALF


class Planted:
    """The planted ids of one collection. `numbers` has the number of each, by id: ints, signed ones too, and UUIDs as
    Qdrant has them in answers."""

    def __init__(self, detection_key: Key, most: int) -> None:
        """`most`: how many can be planted."""
        blocks = np.zeros((2, most, 2), "<u8")
        blocks[:, :, 0] = np.arange(most)
        blocks[1, :, 1] = 1
        made = encrypt_blocks(detection_key.derive("canaries"), blocks).tobytes()
        cut = [made[start : start + 16] for start in range(0, len(made), 16)]
        self._ids: dict[Form, list[PlantedId]] = {
            form: [str(uuid.UUID(bytes=one, version=version)) for one in cut[:most]]
            for form, version in _VERSIONS.items()
        }
        self._ids["number"] = [int.from_bytes(one[:8], "little") for one in cut[most:]]
        self.numbers: dict[PlantedId, int] = {one: i for ids in self._ids.values() for i, one in enumerate(ids)}
        self.numbers |= {signed(one): i for i, one in enumerate(self._ids["number"])}

    def ids(self, form: Form, count: int | None = None) -> list[PlantedId]:
        """The first `count` of a form, or all."""
        return self._ids[form][:count]

    def every(self, count: int | None = None) -> list[PlantedId]:
        """The first `count` of every form, or all: none of them is a client's."""
        return [one for form in FORMS for one in self.ids(form, count)]
