"""Each part asked whether it can do its work, and what to do when it cannot."""
