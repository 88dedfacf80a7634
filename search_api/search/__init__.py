"""A query in, a ranked page out, and the impression that tells of it."""
