"""Decodes the label topics' bytes to records, and encodes records to bytes."""
