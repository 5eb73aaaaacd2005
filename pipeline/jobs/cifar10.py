"""CIFAR-10, read from the files that its makers publish: the "python version".

Krizhevsky, "Learning multiple layers of features from tiny images", 2009: 50,000 pictures to train on, 10,000 to test
on, each 32 x 32 RGB. They come in pickles of Python 2, five batches and one, in an archive ``cifar-10-python.tar.gz``,
which unpacks to the folder ``cifar-10-batches-py``. A pickle may run any program: these are read by an unpickler that
knows nothing but dictionaries, lists, numbers, bytes and NumPy arrays.
"""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.errors import ConfigError, SourceUnreadableError

__all__ = ["Split", "read_cifar10"]

Split = Literal["train", "test"]

_FOLDER, _TAR = "cifar-10-batches-py", "cifar-10-python.tar.gz"
_BATCHES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{n}" for n in range(1, 6)),
    "test": ("test_batch",),
}
_SIDE = 32


def read_cifar10(data: Path, split: Split) -> NDArray[np.uint8]:
    """Read the pictures of one split.

    Parameters
    ----------
    data : Path
        The folder ``cifar-10-batches-py`` or the archive ``cifar-10-python.tar.gz``, or a folder with either in it.
    split : {'train', 'test'}

    Returns
    -------
    ndarray, shape (N, 32, 32, 3), uint8
        N is 50,000 or 10,000, in the order of the files.

    Raises
    ------
    ConfigError
        If there is no CIFAR-10 there.
    SourceUnreadableError
        If a batch is missing, damaged, or something else.
    """
    names = _BATCHES[split]
    for place in (data, data / _FOLDER, data / _TAR):
        if place.is_file() and place.name.endswith((".tar.gz", ".tgz", ".tar")):
            return np.concatenate(_from_tar(place, names))
        if any((place / name).is_file() for names in _BATCHES.values() for name in names):
            return np.concatenate([_from_folder(place, name) for name in names])
    raise ConfigError(
        f"{data}: there is no CIFAR-10; name the folder with {_FOLDER} or {_TAR} in it "
        "(the python version, from www.cs.toronto.edu/~kriz/cifar.html)"
    )


def _from_folder(folder: Path, name: str) -> NDArray[np.uint8]:
    try:
        return _pictures((folder / name).read_bytes(), folder / name)
    except FileNotFoundError:
        raise SourceUnreadableError(f"{folder / name}: is missing; unpack {_TAR} again") from None


def _from_tar(path: Path, names: tuple[str, ...]) -> list[NDArray[np.uint8]]:
    found: dict[str, NDArray[np.uint8]] = {}
    try:
        with tarfile.open(path, "r:*") as tar:  # read once and in order: seeking in gzip begins anew each time
            for member in tar:
                name = Path(member.name).name
                if name in names and (file := tar.extractfile(member)) is not None:
                    found[name] = _pictures(file.read(), path / member.name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, SourceUnreadableError):
            raise
        raise SourceUnreadableError(f"{path}: cannot be read: {error}; fetch it again") from error
    if missing := set(names) - set(found):
        raise SourceUnreadableError(f"{path}: lacks {', '.join(sorted(missing))}; fetch it again")
    return [found[name] for name in names]


def _pictures(data: bytes, origin: Path) -> NDArray[np.uint8]:
    """The pictures ``(N, 32, 32, 3)`` of one batch, whose rows are planes, red first."""
    try:
        batch = _BatchUnpickler(io.BytesIO(data)).load()
        rows = batch[b"data"].array()
        matches = rows.shape == (len(batch[b"labels"]), 3 * _SIDE * _SIDE)
    except Exception as error:  # what damaged pickles raise may be anything
        raise SourceUnreadableError(f"{origin}: is no batch of CIFAR-10: {error!r}; fetch it again") from error
    if not matches:
        raise SourceUnreadableError(f"{origin}: is no batch of CIFAR-10, which has 3072 bytes and a label a picture")
    return np.ascontiguousarray(rows.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


class _BatchUnpickler(pickle.Unpickler):
    """Knows the three names that arrays in pickles of Python 2 need, and no other; even those make no NumPy objects."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for; the files say where NumPy had it then."""
        if (module, name) not in {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no such file does")
        return _Pickled


class _Pickled:
    """What a pickle says of an array or a data type, as it is."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> NDArray[np.uint8]:
        """The array of bytes that is meant."""
        _, shape, dtype, fortran, data = self._state
        if dtype._arguments[0] != b"u1":
            raise ValueError(f"its data are not bytes but {dtype._arguments[0]!r}")
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")
