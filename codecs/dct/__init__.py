"""Codec `dct`: pictures that are a decoded JPEG, by the quantised coefficients that they were decoded from."""
