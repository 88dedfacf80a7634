"""The long-running processes: a node, its loops, its HTTP server, its owner's routes."""
