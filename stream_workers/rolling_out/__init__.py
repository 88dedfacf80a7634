"""Brings a released model into service by itself, watches it, and takes it back where it fails."""
