"""Label records to bytes and back."""
