"""Qdrant's REST protocol: each request becomes the gRPC call that means the same, through the same pipeline."""
