"""The vector index in memory: exact search, for tests and trials."""
