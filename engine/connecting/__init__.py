"""Opens the adapters that the settings name: event log, object store, vector index."""
