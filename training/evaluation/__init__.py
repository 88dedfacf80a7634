"""Rankings and relevance in, measures out."""
