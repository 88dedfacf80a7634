"""Where events are appended and read: Kafka, and the embedded stack's own broker."""
