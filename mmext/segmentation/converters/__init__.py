"""Turns weights published in other layouts into those of mmseg's models; pure functions on state dicts."""
