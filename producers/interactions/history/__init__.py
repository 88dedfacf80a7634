"""Interactions of another system's log, read, checked and published."""
