"""Configurations that ship with haarchive, one YAML file a profile, found by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

__all__ = ["list_configs", "resolve_config"]


def resolve_config(name_or_path: str | Path, kind: str = "jobs") -> Path:
    """Find a configuration file.

    Parameters
    ----------
    name_or_path : str or Path
        The path of a file, or the name of a profile that ships with haarchive, such as 'local'.
    kind : str
        The folder that profiles of this name are in: 'jobs' or 'train'.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If there is neither such a file nor such a profile; the message lists the profiles.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    profile = _folder(kind) / f"{name_or_path}.yaml"
    if path.name == str(name_or_path) and profile.is_file():
        return profile
    known = ", ".join(list_configs(kind)) or "none"
    raise FileNotFoundError(f"no configuration file {str(path)!r}, and no profile of that name (profiles: {known})")


def list_configs(kind: str = "jobs") -> list[str]:
    """Names of the profiles of one kind that ship with haarchive, sorted."""
    folder = _folder(kind)
    return sorted(path.stem for path in folder.glob("*.yaml")) if folder.is_dir() else []


def _folder(kind: str) -> Path:
    return Path(str(resources.files(__name__))) / kind
