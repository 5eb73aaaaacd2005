"""Tune a model to a domain: a lab's scanner and stains, a collection's microphones.

After section 6.2 of "Integer Discrete Flows and Lossless Compression" (Hoogeboom et al., 2019), where a flow that was
trained on one sort of pictures goes on with another. Architecture and configuration are those of the model that is
started from, which its own card holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from haarchive.codecs.errors import ModelError
from haarchive.codecs.haar import ycbcr
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.codecs.registry import get_codec
from haarchive.pipeline.jobs.models import find_model
from haarchive.pipeline.jobs.train import TrainProgress, fit
from haarchive.pipeline.jobs.train_config import IdfFlowConfig, TrainConfig
from haarchive.pipeline.jobs.train_data import Corpus
from haarchive.pipeline.jobs.tune_data import OwnChunks, gather

__all__ = ["TuneReport", "tune"]

STEPS = 1500
"""Of a run: some minutes on a core for pictures."""

_SLOWER = 1 / 3
"""Of the learning rate that the model was made with, as it is not to forget what it knows."""

_OWN, _HELD = "own sources", "held"
"""What cards and logs call them: names of files are nobody else's business, and models go into archives."""

_VALIDATIONS = 5
_CROPPED_FILES = 24
_MEASURED = 12
_MEASURED_SIDE, _MEASURED_FRAMES = 256, 1 << 16
"""Held chunks whose bytes are compared, from their middles."""


@dataclass(frozen=True)
class TuneReport:
    """What came of it.

    Parameters
    ----------
    model : str
        The model file.
    codec : str
        Whose model it is.
    before, after : float
        Bits a sample of held chunks in bitstreams of preset 'max', under the model that was started from and this one.
    apart : bool
        Whether held chunks are of sources that were not learned from; else of other places of the same.
    sources, chunks : int
        Sources that were used, and chunks that were learned from.
    left_out : dict of str to str
        Sources that were not, and why.
    """

    model: str
    codec: str
    before: float
    after: float
    apart: bool
    sources: int
    chunks: int
    left_out: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def tune(
    start_from: Path | str,
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: Path | None = None,
    *,
    name: str | None = None,
    steps: int = STEPS,
    guarantee: str = "file-exact",
    device: str = "cpu",
    reading: Callable[[int, int], None] | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
) -> TuneReport:
    """Go on training a model on one's own slides or recordings, and say what that is worth.

    Parameters
    ----------
    start_from : Path or str
        A model file, or the name of a shipped model.
    sources : path or sequence of paths
        Files, folders, zarr stores, patterns, S3 prefixes, as for archiving. One of five sources (of fewer than five:
        of five chunks) is not learned from, but measured on.
    out : Path, optional
        The run's folder, ``runs/NAME`` by default; a run that is there is resumed.
    name : str, optional
        Of the new model; by default the old one's with ``-tuned``.
    steps : int
    guarantee : {'file-exact', 'sample-exact'}
        That the sources will be archived with: 'sample-exact' gives more of them to flows.
    device : str
        Torch device.
    reading : callable, optional
        Called with the numbers of sources that were read and that there are.
    progress : callable, optional
        Called at every step.

    Returns
    -------
    TuneReport

    Raises
    ------
    ConfigError
        If archiving would give nothing of the sources to the flow, or the folder holds a run on other sources, from
        another model, or of other settings.
    ModelError
        If the model cannot be read, or its card does not say how it was made.
    """
    start = find_model(start_from)
    base = _configuration(start, start_from)
    paths = [os.fspath(path) for path in ([sources] if isinstance(sources, str | os.PathLike) else sources)]
    own = gather(paths, start.codec, base.crop[1:] if base.sound else base.crop, guarantee=guarantee, progress=reading)
    config = base.model_copy(
        update={
            "name": name or f"{base.name.removesuffix('-tuned')}-tuned",
            "train": (_OWN,),
            "validation": (_HELD,),
            "steps": steps,
            # A model that was started from another has been slowed down already.
            "learning_rate": base.learning_rate * (1 if "from" in start.card else _SLOWER),
            "validate_every": max(1, steps // _VALIDATIONS),
            "degrade": 0.0,
            "camera": 0.0,
            "ycbcr": _share_of_ycbcr(own.learn) if _takes_ycbcr(base) else 0.0,
            "licences": {_OWN: "its user's"},
        }
    )
    learn, held = (
        Corpus(config, [(label, chunks)], fixed_files=_CROPPED_FILES, lenient=True)
        for label, chunks in ((_OWN, own.learn), (_HELD, own.held))
    )
    folder = Path("runs") / config.name if out is None else out
    path = fit(
        config, learn, held, folder, start=start, data_digest=own.digest, device=device, progress=progress
    )  # fmt: skip
    before, after = (_bits(model, own, device) for model in (start, ModelFile.from_bytes(path.read_bytes())))
    return TuneReport(
        str(path), start.codec, before, after, own.apart, own.sources, len(own.learn), own.left_out
    )  # fmt: skip


def _configuration(model: ModelFile, name: Path | str) -> TrainConfig:
    try:
        return TrainConfig.model_validate(model.card["config"])
    except (KeyError, TypeError, ValidationError):
        raise ModelError(
            f"{name}: its card does not say how it was made; fine-tune it by `haarchive train CONFIG --from`"
        ) from None


def _takes_ycbcr(config: TrainConfig) -> bool:
    return any(isinstance(flow, IdfFlowConfig) and flow.colour == "ycocg-r" for flow in config.flows)


def _share_of_ycbcr(pictures: Sequence[NDArray[Any]]) -> float:
    """How many pictures in colour the codec would code as Y, Cb, Cr."""
    colour = [picture for picture in pictures if picture.shape[2] == 3]
    found = sum(ycbcr.find(np.moveaxis(picture, 2, 0).astype(np.int32)) is not None for picture in colour)
    return round(found / len(colour), 2) if colour else 0.0


def _bits(model: ModelFile, own: OwnChunks, device: str) -> float:
    """Bits a sample of held chunks, in bytes of bitstreams."""
    codec = get_codec(model.codec, model=model.to_bytes(), device=device, preset="max")
    some = own.held[:: -(-len(own.held) // _MEASURED)]
    middles = [_middle(chunk, (_MEASURED_FRAMES,) if chunk.ndim == 2 else (_MEASURED_SIDE,) * 2) for chunk in some]
    return 8 * sum(one.nbytes for one in codec.encode(middles)) / sum(one.size for one in middles)


def _middle(chunk: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    places = tuple(
        slice(max(0, (n - m) // 2), max(0, (n - m) // 2) + m) for n, m in zip(chunk.shape, size, strict=False)
    )
    return np.ascontiguousarray(chunk[places])
