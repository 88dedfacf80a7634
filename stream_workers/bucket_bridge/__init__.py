"""Bucket notifications in, image events out."""
