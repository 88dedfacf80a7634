"""A picture's bytes, checked before they are decoded, turned into upright RGB and a hash."""
