"""The topics of images and of decisions about them: reading their events, and which one wins."""
