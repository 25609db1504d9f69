"""What an operator does with whole collections: look at every record, move them, sweep out what has expired."""
