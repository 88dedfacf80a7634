"""Uploads, changes, deletes, status and renditions of images."""
