"""Exact coding of pictures that were decoded from JPEG 2000: their quantised wavelet coefficients."""
