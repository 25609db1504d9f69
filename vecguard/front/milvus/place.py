"""Where a Milvus collection is: its database and name, and the one key that policy and catalog know it by.

The key is the collection's name in the database `default`, else `database/name`; Milvus' names hold no slash.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from vecguard.errors import InvalidArgument

DEFAULT_DATABASE: Final = "default"
HEADER: Final = "dbname"


class Place(NamedTuple):
    """A collection (or alias) in a database."""

    database: str
    name: str

    @property
    def key(self) -> str:
        """What policy and catalog know it by."""
        return self.name if self.database == DEFAULT_DATABASE else f"{self.database}/{self.name}"


def database_of(in_message: str, metadata: Iterable[tuple[str, str]]) -> str:
    """The database that a request is about: the one in the message, else in the header, else the default one."""
    return in_message or next((value for key, value in metadata if key == HEADER and value), DEFAULT_DATABASE)


def place_of(in_message: str, name: str, metadata: Iterable[tuple[str, str]]) -> Place:
    """The collection that a request is about.

    Raises:
        InvalidArgument: a slash in either name, which Milvus does not allow, would make the key ambiguous.
    """
    database = database_of(in_message, metadata)
    if "/" in database or "/" in name:
        raise InvalidArgument(
            "Invalid collection name: the name can only contain numbers, letters and underscores: invalid parameter"
        )
    return Place(database, name)


def from_key(key: str) -> Place:
    """The collection with this key."""
    database, separator, name = key.rpartition("/")
    return Place(database if separator else DEFAULT_DATABASE, name)
