"""What is sealed at rest: payload fields, and the record entries that vectors are opened with. docs/formats.md."""
