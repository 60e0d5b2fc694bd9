"""Searches: spaces, studies, and the trials that they ask for."""
