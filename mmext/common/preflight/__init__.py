"""Looks over a training before it starts: its settings, and a minute of measurements on its own model and data."""
