"""Stored trials as tables of a database."""
