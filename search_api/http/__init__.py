"""What every route shares: bodies, limits, keys, problem answers, documents."""
