"""What every worker needs: offsets, outbox, retries, dead letters and their replay."""
