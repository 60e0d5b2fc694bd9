"""Figures as PDF and PNG. Nothing outside this package imports matplotlib."""
