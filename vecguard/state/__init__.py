"""What workers and replicas remember together, in a Redis or Valkey server: connection, keys, scripts."""
