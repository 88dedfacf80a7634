"""Makes the models that Sightline releases: projections of pooled features."""
