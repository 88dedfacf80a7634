"""Vectors with their payload, found by similarity, filtered so that only what is listed shows."""
