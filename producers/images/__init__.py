"""Image events: typed publishers, the state that each write makes, and the catalogue behind it."""
