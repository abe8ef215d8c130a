"""Reads models and runs, trains nothing. Imports nothing at package level: take what you need from its modules."""
