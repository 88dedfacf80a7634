"""A new generation of the index: filled beside the one that serves, and proven equal to it."""
