"""What serves (docs/adr/0024): the record that says it, and model and index held as one pair."""
