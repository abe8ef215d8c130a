"""Turns weights published in other layouts into those of mmdet's models; pure functions on state dicts."""
