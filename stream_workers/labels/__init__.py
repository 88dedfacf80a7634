"""The label join: impressions and clicks in, graded searches and training triples out.

Pure cores (`join`, `mine`) decide; the Faust shells only carry. The rules: `docs/labels.md`.
"""
