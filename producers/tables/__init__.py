"""CSV, JSON lines and Parquet files that people write, read row by row and never guessed at."""
