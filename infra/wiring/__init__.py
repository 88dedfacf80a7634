"""From settings to running parts: where the graph of objects is built."""
