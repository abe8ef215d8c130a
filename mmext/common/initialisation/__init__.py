"""Proves what a model's weights were initialised from, before it is trained."""

from .checks import problems
from .inspection import inspect_initialisation
from .proof import InitialisationProof
from .sources import WeightSource, find_sources

__all__ = ['InitialisationProof', 'WeightSource', 'find_sources', 'inspect_initialisation', 'problems']
