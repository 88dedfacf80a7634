"""The two image topics: reading their events, and which record of an image wins."""
