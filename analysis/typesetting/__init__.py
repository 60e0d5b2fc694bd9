"""A table as a value, and as text in every format."""
