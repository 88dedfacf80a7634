"""What the running system says of itself: status, and the trace of one image."""
