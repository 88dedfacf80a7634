"""Unit vectors and what must not repel in, losses to minimise out."""
