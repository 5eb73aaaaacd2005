"""Training: from a configuration and a folder of files to a model file, resumable at any checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from haarchive.codecs.errors import ConfigError
from haarchive.codecs.haar.objective import HaarFlow
from haarchive.codecs.idf.flow import Flow
from haarchive.codecs.idf.objective import TrainableFlow
from haarchive.codecs.intnet import IntegerNetwork
from haarchive.codecs.intnet.exact import exact_float32
from haarchive.codecs.intnet.modelfile import ModelFile
from haarchive.pipeline.jobs.models import find_model
from haarchive.pipeline.jobs.train_config import FlowConfig, TrainConfig
from haarchive.pipeline.jobs.train_data import Corpus, load_corpus

__all__ = ["TrainProgress", "fit", "train"]


@dataclass(frozen=True)
class TrainProgress:
    """Where a run stands.

    Parameters
    ----------
    step, steps : int
    loss : float
        Bits per sample of the last batch, the coarsest band and all adaptation but least squares left out.
    validation : dict of str to float
        The same on each validation folder, where it was just measured.
    seconds : float
        Since the run, or its resumption, began.
    """

    step: int
    steps: int
    loss: float
    validation: dict[str, float]
    seconds: float


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    start_from: Path | str | None = None,
    device: str = "cpu",
    progress: Callable[[TrainProgress], None] | None = None,
) -> Path:
    """Train a model, or go on with a run that was interrupted.

    Parameters
    ----------
    config : TrainConfig
    data : Path
        The folder that the configuration's folders are relative to.
    out : Path
        The run's folder: ``checkpoint.pt`` (resumed from where it is there), ``log.jsonl`` and, in the end, the
        model file ``<name>.safetensors``.
    start_from : Path or str, optional
        A model to fine-tune: a file, or the name of a shipped one.
    device : str
    progress : callable, optional
        Called at every step.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    ConfigError
        If the data is missing, the model's name is no file's, or the folder holds a run of another configuration.
    """
    _check(config)
    corpus = load_corpus(config, config.train, data)
    validation = load_corpus(config, config.validation, data) if config.validation else None
    start = None if start_from is None else find_model(start_from)
    return fit(config, corpus, validation, out, start=start, device=device, progress=progress)


def fit(
    config: TrainConfig,
    corpus: Corpus,
    validation: Corpus | None,
    out: Path,
    *,
    start: ModelFile | None = None,
    data_digest: str = "",
    device: str = "cpu",
    progress: Callable[[TrainProgress], None] | None = None,
) -> Path:
    """Train a model on examples that are in memory; see `train`.

    Flows that the corpus has no example for are left as they are. Where the configuration does not name the data,
    `data_digest` does, so that a run on other data is not taken for this one.
    """
    _check(config)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    flows = _make_flows(config, start).to(device)
    optimiser = torch.optim.Adam(flows.parameters(), lr=config.learning_rate, betas=(0.9, 0.98))
    checkpoint = out / "checkpoint.pt"
    origin = {"start": start.digest if start else "", "data": data_digest}
    first = _resume(checkpoint, config, origin, flows, optimiser)
    began = time.monotonic()
    with _denormals_flushed(), exact_float32:
        for step in range(first, config.steps):
            loss = _step(config, flows, optimiser, corpus, step, device)
            measured: dict[str, float] = {}
            if (step + 1) % config.validate_every == 0 or step + 1 == config.steps:
                measured = _validate(flows, validation, device) if validation else {}
                _save(checkpoint, config, origin, flows, optimiser, step + 1)
            report = TrainProgress(step + 1, config.steps, loss, measured, time.monotonic() - began)
            if measured:
                with (out / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(asdict(report)) + "\n")
            if progress:
                progress(report)
    path = out / f"{config.name}.safetensors"
    partial = path.with_suffix(".partial")
    partial.write_bytes(_export(config, flows, start).to_bytes())
    return partial.replace(path)


def _check(config: TrainConfig) -> None:
    if config.name in ("", "..") or Path(config.name).name != config.name:
        raise ConfigError(f"name {config.name!r}: the model's file is called so, and it cannot name a folder")
    if any(side % config.divisor for side in config.crop if side > 1):
        raise ConfigError(f"crop {config.crop} must be divisible by 2 ** levels = {config.divisor}")


def _export(config: TrainConfig, flows: torch.nn.ModuleList, start: ModelFile | None) -> ModelFile:
    networks: dict[str, IntegerNetwork] = {}
    structure: dict[str, Any] = {}
    for flow in flows:
        if isinstance(flow, TrainableFlow):
            exported, of_flow = flow.export()
            networks |= of_flow
            structure.setdefault("flows", {})[flow.name] = exported.describe()
        elif isinstance(flow, HaarFlow):
            networks |= {f"p{flow.planes}.{band}": network for band, network in flow.export().items()}
    return ModelFile(config.codec, networks, card=_card(config, start), structure=structure)


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Flush denormal floats, which late in a run cost much time; other code of the process must not inherit that."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _make_flows(config: TrainConfig, start: ModelFile | None) -> torch.nn.ModuleList:
    kind = "audio" if config.sound else "image"
    flows = torch.nn.ModuleList(
        HaarFlow(kind, f.planes, f.channels, f.blocks, f.kernel, config.levels)
        if isinstance(f, FlowConfig)
        else TrainableFlow(f"p{f.planes}", f.architecture(1 if config.sound else 2, config.seed))
        for f in config.flows
    )
    if start is not None:
        name = start.card.get("name", start.digest[:12])
        for flow in flows:
            if isinstance(flow, TrainableFlow):
                described = start.structure.get("flows", {}).get(flow.name)
                if described is None:
                    raise ConfigError(f"model {name}: has no flow of {flow.planes} planes; it cannot be started from")
                flow.load(Flow.from_description(described), start.networks)
                continue
            assert isinstance(flow, HaarFlow)
            wanted = {band: f"p{flow.planes}.{band}" for band in flow.networks}
            if not set(wanted.values()) <= set(start.networks):
                raise ConfigError(f"model {name}: lacks networks for {flow.planes} planes; it cannot be started from")
            flow.load_integers({band: start.networks[key] for band, key in wanted.items()})
    return flows


def _step(
    config: TrainConfig,
    flows: torch.nn.ModuleList,
    optimiser: torch.optim.Optimizer,
    corpus: Corpus,
    step: int,
    device: str,
) -> float:
    # Seeded by the step, so that a resumed run draws what an undisturbed one would have drawn.
    rng = np.random.default_rng((config.seed, step))
    warm = min(1.0, (step + 1) / 100)
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))
    optimiser.zero_grad()
    losses = []
    for flow in flows:
        assert isinstance(flow, HaarFlow | TrainableFlow)
        if not corpus.has(flow.planes):
            continue
        loss = _bits(flow, *corpus.batch(rng, flow.planes, _colour(flow)), device)
        torch.autograd.backward(loss)
        losses.append(float(loss.detach()))
    torch.nn.utils.clip_grad_norm_(flows.parameters(), 1.0)
    optimiser.step()
    for flow in flows:
        assert isinstance(flow, HaarFlow | TrainableFlow)
        flow.project()
    return sum(losses) / len(losses)


@torch.no_grad()
def _validate(flows: torch.nn.ModuleList, corpus: Corpus, device: str) -> dict[str, float]:
    result = {}
    for flow in flows:
        assert isinstance(flow, HaarFlow | TrainableFlow)
        for name, (x, shift) in corpus.fixed(flow.planes, _colour(flow)).items():
            result[f"p{flow.planes}/{name}"] = round(float(_bits(flow, x, shift, device)), 4)
    return result


def _bits(flow: HaarFlow | TrainableFlow, x: NDArray[np.int32], shift: NDArray[np.int32], device: str) -> torch.Tensor:
    """Bits per sample of examples."""
    examples = torch.from_numpy(x).to(device)
    bits: torch.Tensor = flow(examples, torch.from_numpy(shift).to(device))
    return bits


def _colour(flow: HaarFlow | TrainableFlow) -> str | None:
    """The one colour transform of a flow; None where it must know several."""
    return flow.architecture.colour if isinstance(flow, TrainableFlow) else None


def _save(
    path: Path,
    config: TrainConfig,
    origin: Mapping[str, str],
    flows: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
) -> None:
    partial = path.with_suffix(".partial")
    state: dict[str, Any] = {
        "config": config.model_dump_json(),
        "origin": dict(origin),
        "step": step,
        "flows": flows.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path,
    config: TrainConfig,
    origin: Mapping[str, str],
    flows: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    if state["config"] != config.model_dump_json():
        raise ConfigError(f"{path.parent} holds a run of another configuration; choose another --out")
    if state.get("origin", origin) != origin:
        what = (
            "started from another model" if state["origin"]["start"] != origin["start"] else "learned from other data"
        )
        raise ConfigError(f"{path.parent} holds a run that {what}; choose another --out")
    flows.load_state_dict(state["flows"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def _card(config: TrainConfig, start: ModelFile | None) -> dict[str, Any]:
    card = {
        "name": config.name,
        "config": json.loads(config.model_dump_json()),
        "data": {folder: config.licences.get(folder, "not stated") for folder in config.train},
        "torch": torch.__version__,
    }
    if start is not None:  # what that saw, this has seen
        before = {key: start.card[key] for key in ("name", "data", "from") if key in start.card}
        card["from"] = {**before, "sha256": start.digest}
    return card
