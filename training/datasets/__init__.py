"""Training triples, judgements and stored pictures in, data sets to learn from out."""
