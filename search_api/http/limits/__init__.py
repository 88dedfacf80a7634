"""How much, how often and how long a caller may ask."""
