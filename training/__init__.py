"""From triples to a better model: dataset, losses, loop, evaluation, release."""
