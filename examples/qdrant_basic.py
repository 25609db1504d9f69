"""The smallest whole use: start `vecguard serve` in another terminal, then run this.

python examples/qdrant_basic.py [PORT]
"""

from __future__ import annotations

import sys

from qdrant_client import QdrantClient, models


def main(port: int) -> None:
    """Store three records through the proxy, search them, and print what comes back."""
    # The one line that changes: the address is VecGuard's.
    client = QdrantClient(host="127.0.0.1", grpc_port=port, prefer_grpc=True, check_compatibility=False)
    if client.collection_exists("notes"):
        client.delete_collection("notes")
    client.create_collection("notes", vectors_config=models.VectorParams(size=3, distance=models.Distance.COSINE))
    client.upsert(
        "notes",
        [
            models.PointStruct(id=1, vector=[0.9, 0.1, 0.2], payload={"text": "Jane Roe, J45.0 asthma"}),
            models.PointStruct(id=2, vector=[0.1, 0.9, 0.1], payload={"text": "John Doe, E11.9 diabetes"}),
            models.PointStruct(id=3, vector=[0.2, 0.2, 0.9], payload={"text": "Max Roe, I10 hypertension"}),
        ],
    )
    for hit in client.query_points("notes", query=[0.8, 0.2, 0.2], limit=2).points:
        print(f"{hit.score:.6f} {hit.payload}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6334)
