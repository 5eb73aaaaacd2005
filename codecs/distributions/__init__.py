"""Distributions over the integers as tables of integer probabilities: what is likely.

How bits are laid down is the business of `haarchive.codecs.rans`; either can be replaced alone.
"""

from haarchive.codecs.distributions.logistic import LogisticTables, logistic_tables
from haarchive.codecs.distributions.mixture import mixture_tables
from haarchive.codecs.distributions.tables import PROBABILITY_BITS, PROBABILITY_ONE, CdfTables

__all__ = [
    "PROBABILITY_BITS",
    "PROBABILITY_ONE",
    "CdfTables",
    "LogisticTables",
    "logistic_tables",
    "mixture_tables",
]
