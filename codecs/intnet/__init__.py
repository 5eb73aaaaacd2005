"""Exact integer networks: the same integers on every machine, in any batch, on any number of threads."""

from haarchive.codecs.intnet.reference import run_reference
from haarchive.codecs.intnet.spec import FLOAT32_EXACT, ConvSpec, IntegerNetwork, prove_exact

__all__ = ["FLOAT32_EXACT", "ConvSpec", "IntegerNetwork", "prove_exact", "run_reference"]
