"""How the index is asked: HTTP API and web page."""
