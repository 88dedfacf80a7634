"""A data set in, the settings out under which a head learns best from it."""
