"""How planes are cut into chunks."""

from __future__ import annotations

import math

__all__ = ["AUDIO_FRAMES", "IMAGE_SIDE", "audio_chunk", "image_chunk"]

IMAGE_SIDE = 512
"""The side, in pixels, that image chunks are kept close to."""

AUDIO_FRAMES = 1 << 18
"""Frames of an audio chunk of up to 16 channels."""

_AUDIO_SAMPLES = 1 << 22


def image_chunk(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Choose the chunk shape of an image plane.

    The grid is balanced: a side of 775 pixels becomes two chunks of 388 and 387 and not 512 and 263, since
    thin chunks at the edges predict badly. Sides are multiples of 16, so that four Haar steps never split a pair
    and reduced chunks of a plane fit together.

    Parameters
    ----------
    shape : tuple of int
        ``(H, W, C)``.

    Returns
    -------
    tuple of int
        ``(h, w, C)``, each at least 1.
    """
    height, width, channels = shape
    return _balanced(height), _balanced(width), max(1, channels)


def audio_chunk(channels: int) -> tuple[int, int]:
    """Choose the chunk shape ``(frames, channels)`` of an audio plane, of at most 2^22 samples."""
    frames = AUDIO_FRAMES if channels <= 16 else max(1, _AUDIO_SAMPLES // channels)
    return frames, max(1, channels)


def _balanced(side: int) -> int:
    chunks = max(1, round(side / IMAGE_SIDE))
    return max(1, 16 * math.ceil(math.ceil(side / chunks) / 16))
