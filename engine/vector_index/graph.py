"""How both adapters build and walk the graph over vectors, and scan the quantised ones."""

SEARCH_BREADTH = 256
"""`ef` of the graph walk: what recall hangs on (at 30,000 clustered points of inner dimension 13:
.991 with 128, .993 with 256; of 38: .945, .988). The quantised scan alone finds all 24."""
OVERSAMPLING = 2.0
DEGREE = 16
BUILD_BREADTH = 200
FULL_SCAN_KB = 25_000
"""Filters that pass less than this are scanned: faster and exact."""
