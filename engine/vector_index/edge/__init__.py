"""The embedded vector index: one directory, one owner process."""
