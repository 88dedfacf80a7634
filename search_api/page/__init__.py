"""The web page, and the script for the pages of others."""
