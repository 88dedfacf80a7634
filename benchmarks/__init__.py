"""Every speed claim of the project, as ratios measured side by side in one run."""
