"""Bytes and renditions that no present state of an image refers to, removed after some days."""
