"""Labelled triples as data: manifest, tables, propensities and figures, as readers need them.

Modules that use Arrow are imported where rows are read or written, not at the top of those that a
node starts with: it takes 40 MB, and many nodes never have a row.
"""
