"""The file `collection.json`: what is known of a collection besides its points."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format
from qdrant_client import grpc as qdrant

from vecguard.engine.durable_files import write_atomically
from vecguard.engine.edge_errors import EngineFailure

RECORD_FILE = "collection.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """Name, creation time (seconds since the epoch) and reported configuration of a collection."""

    name: str
    created_at: float
    config: qdrant.CollectionConfig

    def with_config(self, config: qdrant.CollectionConfig) -> CollectionRecord:
        """The same collection with another configuration."""
        return dataclasses.replace(self, config=config)

    def save(self, folder: Path) -> None:
        """Write the record durably and atomically."""
        document = {
            "format": _FORMAT,
            "name": self.name,
            "created_at": self.created_at,
            "config": json_format.MessageToDict(self.config, preserving_proto_field_name=True),
        }
        write_atomically(folder / RECORD_FILE, json.dumps(document, indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> CollectionRecord:
        """Read the record back.

        Raises:
            EngineFailure: it is missing, damaged, or of another format.
        """
        try:
            document = json.loads((folder / RECORD_FILE).read_bytes())
            if document["format"] != _FORMAT:
                raise EngineFailure(f"{folder / RECORD_FILE}: unknown format {document['format']}")
            config = json_format.ParseDict(document["config"], qdrant.CollectionConfig())
            return cls(str(document["name"]), float(document["created_at"]), config)
        except (OSError, ValueError, KeyError, TypeError, json_format.ParseError) as failure:
            raise EngineFailure(f"{folder / RECORD_FILE} cannot be read: {failure}") from failure
