"""The `sightline` command; each command translates and delegates."""
