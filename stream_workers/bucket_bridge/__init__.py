"""Turns the bucket's notifications of changed objects into image events."""
