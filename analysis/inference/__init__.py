"""Noise of test examples and of seeds, and what follows from it for rows of a table."""
