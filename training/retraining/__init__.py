"""New triples in, a released model out, or why there is none: by itself, one at a time."""
