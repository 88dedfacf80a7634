"""Graded searches in, figures of an epoch out: CTR, clicks, dwell."""
