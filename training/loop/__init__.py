"""Data sets in, trained heads out: the whitening, the batches, the steps and their checkpoints."""
