"""The engine process: Qdrant's gRPC API over Qdrant Edge, the embedded default upstream.

It knows collections, points, queries and files; it knows nothing of protection. What Edge lacks (collections, aliases,
background index building, groups, matrices, queries by id, snapshots) is added here.
"""
