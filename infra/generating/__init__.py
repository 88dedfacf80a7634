"""Pages and contracts that are generated from the code."""
