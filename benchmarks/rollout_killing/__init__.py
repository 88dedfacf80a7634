"""A roll-out under `kill -9`: the parts of `benchmarks.rollout_kills`."""
