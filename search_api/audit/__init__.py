"""Who acts as an operator and who is refused, from a request to the record of it."""
