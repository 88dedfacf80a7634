"""What happens to events: index worker, bucket bridge, re-index, label join, sinks."""
