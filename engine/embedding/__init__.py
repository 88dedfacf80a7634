"""Pictures in, vectors out: the networks, their weights, and the runtimes that run them."""
