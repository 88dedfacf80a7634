"""What the commands on experiments do: start one, stop it, and read what came of it."""
