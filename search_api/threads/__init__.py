"""The threads of the API, and room for what they do."""
