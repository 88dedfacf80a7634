"""Simulated people, bots and networks: interactions with a known truth (docs/simulator.md).

The truth goes to an output of its own; nothing that is published carries any of it.
"""
