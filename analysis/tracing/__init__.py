"""What cells are made of, and what has changed since."""
