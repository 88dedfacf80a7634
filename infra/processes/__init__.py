"""The long-running processes: the node, its HTTP server, its owner's routes."""
