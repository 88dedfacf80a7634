"""What an experiment came to: sums of actors, rates with intervals, what may be believed."""
