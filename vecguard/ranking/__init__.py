"""Qdrant's ways to turn similarities, ranks and payload into one ranking; pure numpy, on opened (exact) values."""
