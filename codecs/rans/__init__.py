"""Range asymmetric numeral systems: how bits are laid down.

What is likely is the business of `haarchive.codecs.distributions`; either can be replaced alone.
"""

from haarchive.codecs.rans.dynamic import IntervalDecoder, encode_intervals
from haarchive.codecs.rans.static import decode_symbols, encode_symbols

__all__ = ["IntervalDecoder", "decode_symbols", "encode_intervals", "encode_symbols"]
