"""Impressions and acts in, graded searches out; by actor, per epoch."""
