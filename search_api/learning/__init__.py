"""What was learned: figures of searches, recent triples."""
