"""Where the bytes of images lie: S3, or a directory; and the catalogue of image states in it."""
