"""Graded searches in, training triples out; by anchor, per epoch."""
