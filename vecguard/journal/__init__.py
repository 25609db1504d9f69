"""The trail as a file that cannot be altered unnoticed: a chain of authenticated lines."""
