"""The embedded stack's event log: an in-process broker, and a journal of what it would forget."""
