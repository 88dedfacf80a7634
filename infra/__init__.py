"""How it is run: local stack, topics, the `sightline` command."""
