"""The operator's decisions, from their topic into the index."""
