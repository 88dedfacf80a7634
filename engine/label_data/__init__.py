"""Labelled triples as data: manifest, tables, propensities and figures, as readers need them."""
