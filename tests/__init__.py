"""The tests; tiers by folder, see CONTRIBUTING."""
