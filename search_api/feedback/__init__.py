"""What people did with results, taken in and appended to the log."""
