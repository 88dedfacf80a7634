"""The index worker: image events in, searchable images and their outcomes out."""
