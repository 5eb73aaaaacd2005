"""What a training run may be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from haarchive.codecs.errors import ConfigError
from haarchive.codecs.idf.architecture import Architecture, NetworkShape
from haarchive.codecs.idf.header import COLOURS
from haarchive.configs import resolve_config

__all__ = ["FlowConfig", "IdfFlowConfig", "NetworkConfig", "TrainConfig", "load_train_config"]


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


class NetworkConfig(BaseModel):
    """The networks of an integer discrete flow; see `haarchive.codecs.idf.architecture.NetworkShape`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["densenet", "resnet"]
    depth: int = Field(ge=0, le=32)
    channels: int = Field(ge=4, le=1024)
    kernel: tuple[int, int] = (3, 3)
    context: bool = False
    high: int = Field(default=1023, ge=1, le=1 << 15)

    def shape(self) -> NetworkShape:
        """As the codec has it."""
        return NetworkShape(**dict(self))


class IdfFlowConfig(BaseModel):
    """An integer discrete flow; see `haarchive.codecs.idf.architecture.Architecture`.

    Parameters
    ----------
    planes : int
        3 for RGB, 1 for grey or any other.
    levels, couplings : int
        L and D of the paper.
    transform : {'none', 'haar'}
    triangular : bool
    mixture : int
        K.
    colour : str
    coupling, prior : NetworkConfig
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    planes: int = Field(ge=1, le=3)
    levels: int = Field(ge=1, le=16)
    couplings: int = Field(ge=0, le=32)
    transform: Literal["none", "haar"] = "none"
    triangular: bool = False
    mixture: int = Field(default=5, ge=1, le=16)
    colour: Literal["none", "ycocg-r", "rgb", "grb", "brg"] = "none"
    coupling: NetworkConfig
    prior: NetworkConfig

    def architecture(self, rows: int, seed: int) -> Architecture:
        """As the codec has it, with cells of so many rows."""
        values = {**dict(self), "coupling": self.coupling.shape(), "prior": self.prior.shape()}
        return Architecture(**values, rows=rows, seed=seed)


class TrainConfig(BaseModel):
    """A training run.

    Parameters
    ----------
    name : str
        Of the model.
    codec : {'haar', 'haar-audio', 'idf', 'idf-audio'}
    train, validation : tuple of str
        Folders of files, relative to the data folder. Training folders are drawn from equally often.
    flows : tuple of FlowConfig, or of IdfFlowConfig for 'idf' and 'idf-audio'
        Trained side by side; the model file holds all of them.
    levels : int
        Of 'haar' and 'haar-audio': lifting levels that the loss counts.
    crop : tuple of int
        Height and width of a training example (1 and frames for sound), divisible by ``2 ** levels``.
    batch, steps : int
    degrade : float
        Of 'idf': how many of the examples go through JPEG or JPEG 2000 with loss first, so that the model knows their
        traces.
    ycbcr : float
        Of 'idf' with the colour transform 'ycocg-r': how many of the examples in colour are given as Y, Cb, Cr, half of
        these with subsampled chroma, as the codec codes what decoders and cameras made of such.
    camera : float
        Of pictures: how many of the examples are made as another camera would have given them first: resampled, exposed
        otherwise and with noise.
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
    codec: Literal["haar", "haar-audio", "idf", "idf-audio"]
    train: tuple[str, ...] = Field(min_length=1)
    validation: tuple[str, ...] = ()
    flows: tuple[FlowConfig, ...] | tuple[IdfFlowConfig, ...] = Field(min_length=1)
    levels: int = Field(default=3, ge=1, le=8)
    crop: tuple[int, int] = (128, 128)
    batch: int = Field(default=6, ge=1)
    steps: int = Field(ge=1)
    degrade: float = Field(default=0.0, ge=0, le=1)
    ycbcr: float = Field(default=0.0, ge=0, le=1)
    camera: float = Field(default=0.0, ge=0, le=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    validate_every: int = Field(default=500, ge=1)
    seed: int = 0
    licences: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _flows_are_of_the_codec(self) -> TrainConfig:
        kind = IdfFlowConfig if self.codec.startswith("idf") else FlowConfig
        if not all(isinstance(flow, kind) for flow in self.flows):
            raise ValueError(f"flows: those of {self.codec!r} have other fields")
        return self

    @model_validator(mode="after")
    def _ycbcr_has_a_flow(self) -> TrainConfig:
        of_colour = [flow for flow in self.flows if isinstance(flow, IdfFlowConfig) and flow.planes == COLOURS]
        if self.ycbcr and (self.codec != "idf" or any(flow.colour != "ycocg-r" for flow in of_colour)):
            raise ValueError("ycbcr: is for the codec 'idf' and flows with the colour transform 'ycocg-r'")
        return self

    @property
    def divisor(self) -> int:
        """What the sides of crops must be multiples of."""
        return 1 << max(flow.levels if isinstance(flow, IdfFlowConfig) else self.levels for flow in self.flows)

    @property
    def sound(self) -> bool:
        """Whether the model is for sound."""
        return self.codec.endswith("-audio")


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
