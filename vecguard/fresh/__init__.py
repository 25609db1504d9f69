"""What tells a record from an older one: keyed stamps of its newest parts, remembered outside the database.

A record's own authentication says that its parts belong to it, not that they are its newest. Here is the memory that
can: for each record, stamps of those parts that may be there now. Writes note theirs before they go to the database,
and take back those that they superseded when it has acknowledged them; reads compare. docs/adr/rollback.md has the
reasons, docs/formats.md §19 the bytes.
"""
