"""The routes for those who run the API: health, readiness, metrics."""
