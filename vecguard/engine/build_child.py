"""The child process that optimizes a copy of a shard: `python -m vecguard.engine.build_child FOLDER < config.json`.

Standard input carries the collection's configuration (`qdrant.CollectionConfig` as protobuf JSON), which may have
changed since the shard was made. Exit status 0: optimized and on disk; `NOTHING_TO_DO`: the indexes were up to date.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from google.protobuf import json_format
from qdrant_client import grpc as qdrant
from qdrant_edge import EdgeShard

from vecguard.engine.config_convert import edge_config
from vecguard.engine.durable_files import sync_tree
from vecguard.engine.parent_death import die_with_parent

NOTHING_TO_DO = 3
# The serving process goes first, but a busy machine must not starve the builder for good.
NICENESS = 5


def optimize(folder: Path, config: qdrant.CollectionConfig) -> bool:
    """Optimize the shard in `folder` for `config` and write it to disk. Returns False when nothing was to be done."""
    # First as it is, so that its log is replayed under the configuration that the log was written under.
    EdgeShard.load(str(folder)).close()
    shard = EdgeShard.load(str(folder), edge_config(config))
    optimized = shard.optimize()
    shard.flush()
    shard.close()
    sync_tree(folder)
    return bool(optimized)


def main() -> int:
    """Run as a child process; see the module's text."""
    die_with_parent()
    os.nice(NICENESS)
    config = json_format.Parse(sys.stdin.buffer.read(), qdrant.CollectionConfig())
    return 0 if optimize(Path(sys.argv[1]), config) else NOTHING_TO_DO


if __name__ == "__main__":
    sys.exit(main())
