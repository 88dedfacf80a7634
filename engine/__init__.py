"""What workers and API share: ports, adapters, embedding, settings, errors, metrics."""
