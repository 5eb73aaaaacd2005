"""Training examples: random crops of real slides and recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import ConfigError, SourceUnreadableError
from haarchive.codecs.haar import colour, ycbcr
from haarchive.codecs.haar.sound_band import amplitude_shift
from haarchive.codecs.idf.pictures import of_ycbcr
from haarchive.pipeline.jobs.augment import cut, degraded, photographed, subsampled
from haarchive.pipeline.jobs.cifar10 import Split, read_cifar10
from haarchive.pipeline.jobs.train_config import TrainConfig

__all__ = ["Corpus", "load_corpus"]

_COLOUR_ODDS = {"ycocg-r": 0.4, "rgb": 0.3, "grb": 0.15, "brg": 0.15}
_DEGRADED_MARGIN = 16
_CIFAR10: Mapping[str, Split] = {"cifar10:train": "train", "cifar10:test": "test"}
"""What stands in a configuration instead of a folder."""
_FIXED_FILES = 6
_FIXED_WHOLE = 128
"""Validation files of a set, and pictures where each is a single crop."""


class Corpus:
    """Files of several folders, all in memory, and crops of them.

    Parameters
    ----------
    config : TrainConfig
    folders : sequence of (name, list of ndarray)
        Images ``(H, W, C) uint8`` or recordings ``(frames, channels) int32``.
    fixed_files : int
        Files of a folder that `fixed` takes crops of.
    lenient : bool
        Whether files may all have too few planes for some flow, which then `has` none.

    Raises
    ------
    ConfigError
        If no file is as large as a crop; or, unless lenient, if a flow has no file.
    """

    def __init__(
        self,
        config: TrainConfig,
        folders: Sequence[tuple[str, list[NDArray[Any]]]],
        *,
        fixed_files: int = _FIXED_FILES,
        lenient: bool = False,
    ) -> None:
        self._fixed_files = fixed_files
        self._config = config
        image = not config.sound
        least = config.crop if image else (config.crop[1],)
        most_planes = max(flow.planes for flow in config.flows)
        self.folders = [
            (name, [a for a in arrays if all(n >= m for n, m in zip(a.shape, least, strict=False))])
            for name, arrays in folders
        ]
        for name, arrays in self.folders:
            if image and not lenient and any(array.shape[2] < most_planes for array in arrays):
                raise ConfigError(f"{name}: has grey images, but a flow of {most_planes} planes needs colour")
        self.folders = [(name, arrays) for name, arrays in self.folders if arrays]
        if not self.folders:
            raise ConfigError(f"none of {', '.join(name for name, _ in folders)} has a file as large as a crop")
        self._wide = [(name, [a for a in arrays if a.shape[-1] >= most_planes]) for name, arrays in self.folders]
        self._wide = [(name, arrays) for name, arrays in self._wide if arrays]
        if not self._wide and not lenient:
            raise ConfigError(f"none of the recordings has the {most_planes} channels that a flow asks for")

    def has(self, planes: int) -> bool:
        """Whether there are files for a flow of so many planes."""
        return bool(self.folders if planes == 1 else self._wide)

    def batch(
        self, rng: np.random.Generator, planes: int, colour: str | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Draw augmented examples.

        Parameters
        ----------
        rng : Generator
        planes : int
        colour : str, optional
            The colour transform of pictures; None draws one for each example.

        Returns
        -------
        x : ndarray, shape (N, planes, H, W), int32
        shift : ndarray, shape (N, 1, 1, 1), int32
            Amplitude shifts, as the codec would choose them.
        """
        colours = _COLOUR_ODDS if colour is None else {colour: 1.0}
        examples = []
        folders = self.folders if planes == 1 else self._wide
        for _ in range(self._config.batch):
            name, arrays = folders[rng.integers(len(folders))]
            array = arrays[rng.integers(len(arrays))]
            if self._config.sound:
                examples.append(_audio_crop(array, self._config.crop, planes, rng))
            else:
                crop = _image_crop(
                    array, self._config.crop, planes, colours, self._config.degrade, rng,
                    upright=name in _CIFAR10, ycbcr_odds=self._config.ycbcr, camera_odds=self._config.camera,
                )  # fmt: skip
                examples.append(crop)
        return _stack(examples)

    def fixed(
        self, planes: int, colour: str | None = None, per_file: int = 4
    ) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """The same unaugmented examples each time, by folder, for validation."""
        result = {}
        for name, arrays in self.folders if planes == 1 else self._wide:
            rng = np.random.default_rng(0)
            whole = all(array.shape[:2] == self._config.crop for array in arrays)
            examples = [
                _audio_crop(array, self._config.crop, planes, rng, augment=False)
                if self._config.sound
                else _image_crop(array, self._config.crop, planes, {colour or "ycocg-r": 1.0}, 0.0, rng, augment=False)
                for array in arrays[: _FIXED_WHOLE if whole else self._fixed_files]
                for _ in range(1 if whole else per_file)
            ]
            result[name] = _stack(examples)
        return result


def load_corpus(config: TrainConfig, folders: Sequence[str], data: Path) -> Corpus:
    """Read all files of some folders.

    Parameters
    ----------
    config : TrainConfig
    folders : sequence of str
        Relative to `data`; ``cifar10:train`` and ``cifar10:test`` are the pictures of CIFAR-10 as `read_cifar10` finds
        them in `data`.
    data : Path

    Raises
    ------
    ConfigError
        If a folder is missing or empty.
    SourceUnreadableError
        If a file cannot be decoded.
    """
    loaded: list[tuple[str, list[NDArray[Any]]]] = []
    for folder in folders:
        if folder in _CIFAR10:
            if config.sound:
                raise ConfigError(f"{folder}: pictures, but {config.codec!r} is trained on sound")
            loaded.append((folder, list(read_cifar10(data, _CIFAR10[folder]))))
            continue
        paths = sorted(path for path in (data / folder).glob("*") if path.is_file())
        if not paths:
            raise ConfigError(f"{data / folder}: no training files there; is --data right?")
        loaded.append((folder, [_read(path, config.sound) for path in paths]))
    return Corpus(config, loaded)


def _read(path: Path, sound: bool) -> NDArray[Any]:
    try:
        if not sound:
            import imagecodecs

            image: NDArray[Any] = imagecodecs.imread(str(path))
            return image[..., None] if image.ndim == 2 else image[..., :3]
        import soundfile

        bits = {"PCM_24": 24, "PCM_S8": 8}.get(soundfile.info(path).subtype, 16)
        samples: NDArray[np.int32] = soundfile.read(path, dtype="int32", always_2d=True)[0]
        return samples >> (32 - bits)
    except Exception as error:  # each library has its own family of errors
        raise SourceUnreadableError(f"{path}: cannot be read for training: {error}") from error


def _stack(
    examples: Sequence[tuple[NDArray[np.int32], int]],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    shifts = np.array([shift for _, shift in examples], np.int32)
    return np.stack([x for x, _ in examples]), shifts[:, None, None, None]


def _image_crop(
    image: NDArray[Any],
    size: tuple[int, int],
    planes: int,
    colours: Mapping[str, float],
    degrade: float,
    rng: np.random.Generator,
    augment: bool = True,
    upright: bool = False,
    ycbcr_odds: float = 0.0,
    camera_odds: float = 0.0,
) -> tuple[NDArray[np.int32], int]:
    # What goes through a lossy codec is cut out with a margin first, so that its grid lies anywhere.
    margin = (
        _DEGRADED_MARGIN
        if degrade and all(n >= s + _DEGRADED_MARGIN for n, s in zip(image.shape, size, strict=False))
        else 0
    )
    wide = (size[0] + margin, size[1] + margin)
    crop = photographed(image, wide, rng) if camera_odds and rng.random() < camera_odds else cut(image, wide, rng)
    if margin:
        if rng.random() < degrade:
            crop = degraded(np.ascontiguousarray(crop), rng)
        crop = cut(crop, size, rng)
    if augment and upright:  # photographs have an up and a down, slides have not
        crop = crop[:, :: rng.choice((1, -1))]
    elif augment:
        crop = crop[:: rng.choice((1, -1)), :: rng.choice((1, -1))]
        if size[0] == size[1] and rng.random() < 0.5:
            crop = crop.swapaxes(0, 1)
    name = str(rng.choice(list(colours), p=list(colours.values()))) if len(colours) > 1 else next(iter(colours))
    samples = np.moveaxis(crop.astype(np.int32), -1, 0)
    if planes == 1:
        samples = samples[rng.integers(len(samples)) if augment else 0][None]
    elif ycbcr_odds and rng.random() < ycbcr_odds:
        return of_ycbcr(subsampled(ycbcr.from_rgb("ycbcr", np.ascontiguousarray(samples))[0], rng)), 0
    else:
        samples = colour.forward(name, np.ascontiguousarray(samples))
    samples = samples.copy()
    # As codecs do: planes that are differences have no middle to take off.
    samples[: 1 if name != "none" else planes] -= 128
    return samples, 0


def _audio_crop(
    sound: NDArray[Any], size: tuple[int, int], planes: int, rng: np.random.Generator, augment: bool = True
) -> tuple[NDArray[np.int32], int]:
    frames = size[1]
    start = int(rng.integers(sound.shape[0] - frames + 1))
    crop = sound[start : start + frames].astype(np.int32)
    if planes == 1:
        crop = _one_channel(crop, rng, augment)[:, None]
    else:
        crop = crop[:, :planes]
        if augment and rng.random() < 0.5:
            crop = crop[:, ::-1]
    if augment and rng.random() < 0.5:
        crop = -crop
    if augment and rng.random() < 0.3:
        crop = crop >> int(rng.integers(1, 4))
    return np.ascontiguousarray(crop.T)[:, None], amplitude_shift(crop)


def _one_channel(crop: NDArray[np.int32], rng: np.random.Generator, augment: bool) -> NDArray[np.int32]:
    """The first channel, or the middle or side of the first two."""
    if crop.shape[1] > 1 and (not augment or rng.random() < 0.7):
        side = crop[:, 1] - crop[:, 0]
        return side if augment and rng.random() < 0.5 else crop[:, 0] + (side >> 1)
    return crop[:, 0]
