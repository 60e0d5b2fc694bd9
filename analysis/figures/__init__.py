"""Figures as PNG. Nothing outside this package imports matplotlib."""
