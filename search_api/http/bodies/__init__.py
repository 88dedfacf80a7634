"""A request's body in, its typed fields and its picture out."""
