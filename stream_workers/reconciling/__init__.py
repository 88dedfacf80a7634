"""What catalogue, topics and index say of each image, compared and made equal."""
