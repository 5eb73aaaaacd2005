"""Learned Haar lifting: codecs for pictures and for sound."""
