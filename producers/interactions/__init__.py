"""What people were shown and did, published as events."""
