"""What a training run may be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from haarchive.codecs.errors import ConfigError
from haarchive.configs import resolve_config

__all__ = ["FlowConfig", "TrainConfig", "load_train_config"]


class FlowConfig(BaseModel):
    """The networks for sources of one number of planes.

    Parameters
    ----------
    planes : int
        Planes that are predicted together: 3 for RGB, 1 for grey or any other.
    channels, blocks : int
        Width and number of residual layers of each band's network.
    kernel : tuple of int
        Height and width of the convolutions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    planes: int = Field(ge=1, le=3)
    channels: int = Field(ge=4, le=256)
    blocks: int = Field(ge=0, le=16)
    kernel: tuple[int, int] = (3, 3)


class TrainConfig(BaseModel):
    """A training run.

    Parameters
    ----------
    name : str
        Of the model.
    codec : {'haar', 'haar-audio'}
    train, validation : tuple of str
        Folders of files, relative to the data folder. Training folders are drawn from equally often.
    flows : tuple of FlowConfig
        Trained side by side; the model file holds all of them.
    levels : int
        Lifting levels that the loss counts.
    crop : tuple of int
        Height and width of a training example (1 and frames for sound), divisible by ``2 ** levels``.
    batch, steps : int
    learning_rate : float
        Adam's, with a short warm-up and a cosine to zero.
    validate_every : int
        Steps between validations and checkpoints.
    seed : int
    licences : Mapping
        What the model card says of the data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    codec: Literal["haar", "haar-audio"]
    train: tuple[str, ...] = Field(min_length=1)
    validation: tuple[str, ...] = ()
    flows: tuple[FlowConfig, ...] = Field(min_length=1)
    levels: int = Field(default=3, ge=1, le=8)
    crop: tuple[int, int] = (128, 128)
    batch: int = Field(default=6, ge=1)
    steps: int = Field(ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    validate_every: int = Field(default=500, ge=1)
    seed: int = 0
    licences: dict[str, str] = Field(default_factory=dict)


def load_train_config(name_or_path: str | Path) -> TrainConfig:
    """Read a training configuration.

    Raises
    ------
    ConfigError
        If there is no such file, or its content is not valid.
    """
    try:
        path = resolve_config(name_or_path, "training")
        return TrainConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(str(error)) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name_or_path}: is not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{name_or_path}: {reasons}") from None
