"""Model files by name: those that come with haarchive, and the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from haarchive.codecs.errors import ConfigError, ModelError, ModelNotFoundError
from haarchive.codecs.intnet.modelfile import ModelFile

__all__ = ["find_model", "models_of", "shipped_models"]

_SUFFIX = ".safetensors"


@cache
def shipped_models() -> Mapping[str, Traversable]:
    """The model files that come with haarchive, by name: ``haar-image``, ``idf-histology``, ..."""
    folders = [resources.files(f"haarchive.codecs.{family}") / "weights" for family in ("haar", "idf")]
    found = [file for folder in folders for file in folder.iterdir() if file.name.endswith(_SUFFIX)]
    return {file.name.removesuffix(_SUFFIX): file for file in sorted(found, key=lambda file: file.name)}


def find_model(name_or_path: str | Path) -> ModelFile:
    """Read a model.

    Parameters
    ----------
    name_or_path : str or Path
        A model file, or the name of a shipped one.

    Raises
    ------
    ModelNotFoundError
        If there is neither.
    ModelError
        If it is no model file, or a damaged one.
    """
    path = Path(name_or_path)
    shipped = shipped_models().get(str(name_or_path))
    try:
        data = path.read_bytes() if path.is_file() or shipped is None else shipped.read_bytes()
    except OSError as error:
        names = ", ".join(shipped_models())
        raise ModelNotFoundError(
            f"{name_or_path}: no such model file ({error.strerror}); those that come with haarchive are {names}"
        ) from None
    try:
        return ModelFile.from_bytes(data)
    except ModelError as error:
        raise ModelError(f"{name_or_path}: {error}") from error


def models_of(paths: Iterable[Path]) -> tuple[str, dict[str, Path]]:
    """Which codecs model files are for.

    Parameters
    ----------
    paths : iterable of Path

    Returns
    -------
    str
        The family of flows that they belong to, 'haar' or 'idf'.
    dict of str to Path
        Absolute paths, by codec.

    Raises
    ------
    ModelNotFoundError, ModelError
        If a file cannot be read, or is no model.
    ConfigError
        If they are of two families, or two are for one codec.
    """
    found: dict[str, Path] = {}
    for path in paths:
        codec = find_model(path.absolute()).codec
        if codec in found:
            raise ConfigError(f"{found[codec]} and {path} are both for the codec {codec!r}; name one")
        found[codec] = path.absolute()
    families = {codec.removesuffix("-audio") for codec in found}
    if len(families) > 1:
        raise ConfigError(
            f"models of {' and '.join(sorted(families))} cannot be used together: a job has one family of flows"
        )
    return families.pop(), found
