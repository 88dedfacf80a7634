"""Pairs and pictures in, a network whose own weights were trained out, with its projection."""
