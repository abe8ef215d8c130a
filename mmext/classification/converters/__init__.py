"""Turns weights published in other layouts into those of mmpretrain's models; pure functions on state dicts."""
