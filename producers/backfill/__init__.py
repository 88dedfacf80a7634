"""A folder or bucket of existing photos, published to the backfill topic, resumable."""
