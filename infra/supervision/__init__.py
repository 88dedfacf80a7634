"""Loops and child processes that are started, watched and started again."""
