"""From settings to open adapters."""
