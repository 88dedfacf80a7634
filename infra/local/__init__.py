"""Kafka, MinIO and what else runs on this machine without Docker."""
