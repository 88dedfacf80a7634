"""From labels to a better model: data sets, training, evaluation, registry and propensity."""
