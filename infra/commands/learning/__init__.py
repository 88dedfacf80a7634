"""Trains, measures and grades: what people did with the results in, reports and models out."""
