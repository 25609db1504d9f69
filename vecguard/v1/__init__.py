"""Protobuf modules generated from proto/vecguard/v1 (`make protos`); not edited by hand."""
