"""Walkers over the headers of image files, one module a format; none decodes anything."""
