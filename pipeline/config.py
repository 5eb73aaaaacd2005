"""What a job may be told: immutable, validated, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, model_validator

from haarchive.codecs.errors import ConfigError
from haarchive.codecs.haar.presets import DEFAULT_PRESET, Preset
from haarchive.configs import resolve_config
from haarchive.pipeline.flows import FlowFamily, FlowName
from haarchive.pipeline.guarantees import MOST_DROPPED, lossy_guarantee

__all__ = ["ActorConfig", "ArchiveConfig", "Guarantee", "load_config", "override"]

Guarantee = Literal["file-exact", "sample-exact"]

_MIB = 1 << 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class ActorConfig(_Frozen):
    """The pool of Ray actors that hold the models and encode.

    Parameters
    ----------
    num_cpus, num_gpus : float
        What one actor takes of its node. An actor computes on one core, whatever its device: several should share a
        GPU.
    min_size, max_size : int
        Bounds of the pool, which grows while shards wait; no `max_size` means as many as the cluster has room for, or
        makes room for.
    """

    num_cpus: float = Field(default=1, ge=0)
    num_gpus: float = Field(default=0, ge=0)
    min_size: int = Field(default=1, ge=1)
    max_size: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> ActorConfig:
        if self.max_size is not None and self.max_size < self.min_size:
            raise ValueError(f"max_size {self.max_size} is below min_size {self.min_size}")
        return self


class ArchiveConfig(_Frozen):
    """How sources are archived. Sizes may be written as ``64MiB``.

    Parameters
    ----------
    guarantee : {'file-exact', 'sample-exact'}
        What restoration gives back: every byte of the file, or every sample in a new container.
    drop_bands : int
        0, or how many levels of finest details TIFF and PNG pictures lose that go through 'haar'. **The originals of
        these cannot be restored.** Other sources are archived 'file-exact'.
    codec : {'haar', 'idf'}
        The family of learned flows that pictures and sound go to. Decoding needs no codec named.
    preset : {'fast', 'balanced', 'max'}
        How much time the flows may take for fewer bytes. Decoding needs no preset.
    keep_damaged : bool
        Whether a file that ends before data that its headers promise is archived as far as it goes. Otherwise it fails.
    shard_bytes : int
        Raw bytes that one shard takes. A worker holds two: one that it encodes, one that it reads or writes.
    batch_chunks : int
        Chunks that a codec is given at once.
    ray_from_bytes : int
        Sources of at least so many bytes together are archived on Ray, smaller jobs in this process.
    threads : int, optional
        Threads of an in-process job. None: one a CPU core, at most 4.
    device : str
        The torch device of learned codecs: 'cpu', 'cuda', 'cuda:1'.
    models : Mapping of str to Path
        Model files that replace the shipped ones, by codec name ('haar', 'haar-audio', 'idf', 'idf-audio').
    actors : ActorConfig
    """

    guarantee: Guarantee = "file-exact"
    drop_bands: int = Field(default=0, ge=0, le=MOST_DROPPED)
    codec: FlowFamily = "haar"
    preset: Preset = DEFAULT_PRESET
    keep_damaged: bool = False
    shard_bytes: ByteSize = Field(default=ByteSize(64 * _MIB), ge=_MIB, le=1 << 30)
    batch_chunks: int = Field(default=16, ge=1)
    ray_from_bytes: ByteSize = Field(default=ByteSize(256 * _MIB), ge=0)
    threads: int | None = Field(default=None, ge=1)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|mps)$")
    models: Mapping[FlowName, Path] = Field(default_factory=dict)
    actors: ActorConfig = ActorConfig()

    @model_validator(mode="after")
    def _one_guarantee(self) -> ArchiveConfig:
        if self.drop_bands and self.guarantee != "file-exact":
            raise ValueError(f"drop_bands is a guarantee of its own: leave {self.guarantee!r} out, or set it to 0")
        if self.drop_bands and self.codec != "haar":
            raise ValueError(f"drop_bands needs codec 'haar', not {self.codec!r}: leave one of them out")
        return self

    @property
    def promise(self) -> str:
        """The guarantee that sources are opened with, by the name that manifests have for it."""
        return lossy_guarantee(self.drop_bands) if self.drop_bands else self.guarantee


def load_config(name_or_path: str | Path, **overrides: Any) -> ArchiveConfig:
    """Read a job configuration.

    Parameters
    ----------
    name_or_path : str or Path
        A YAML file, or the name of a shipped profile: 'local' or 'gpu'.
    **overrides
        Fields that replace the file's; None means that the file's value stays.

    Raises
    ------
    ConfigError
        If there is no such file or profile, or its content is not valid; the message names field and reason.
    """
    try:
        path = resolve_config(name_or_path)
        record = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name_or_path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name_or_path}: is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(record, dict):
        raise ConfigError(f"{path}: must be a mapping of fields, not {type(record).__name__}")
    return _validated(record, overrides, f"{path}: ")


def override(config: ArchiveConfig, **overrides: Any) -> ArchiveConfig:
    """Replace fields of a configuration; None means that a value stays.

    Raises
    ------
    ConfigError
        If a new value is not valid.
    """
    return _validated(config.model_dump(), overrides)


def _validated(record: Mapping[str, Any], overrides: Mapping[str, Any], origin: str = "") -> ArchiveConfig:
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return ArchiveConfig.model_validate({**record, **given})
    except ValidationError as error:
        raise ConfigError(f"{origin}{_reasons(error)}") from None


def _reasons(error: ValidationError) -> str:
    reasons = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        reasons.append(": ".join(filter(None, (where, item["msg"].removeprefix("Value error, ")))))
    return "; ".join(reasons)
