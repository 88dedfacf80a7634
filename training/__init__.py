"""From labels to a better model: evaluation, the default projection, propensity; no loop yet."""
