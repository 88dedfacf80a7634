"""Where events start: typed clients, backfill, imports."""
