"""Reads data and trains nothing: the passport of a dataset, and leaks between its splits."""
