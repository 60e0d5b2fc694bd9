"""The parts of the report of a results folder."""
