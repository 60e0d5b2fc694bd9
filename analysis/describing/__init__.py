"""A user's copy of a data set: what it is, and what of it leaks between splits."""
