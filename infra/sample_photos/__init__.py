"""Pictures to try it with: a folder's, or drawn ones."""
