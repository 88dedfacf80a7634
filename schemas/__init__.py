"""Contracts: every event, its topic and its schema. Imports nothing of ours."""
