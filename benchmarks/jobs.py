"""What jobs cost: the throughput of a core, Ray's overhead, scaling, small files, resuming, memory.

Run it on a quiet machine: every figure is wall time of this one. Sources are made from the real data where it is given
(--data), and from synthesised pictures and sound where not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from _common import find_files, on_one_thread
from lossless_images import SETS, read
from rich.console import Console
from rich.table import Table

from haarchive.codecs.haar.presets import PRESETS
from haarchive.pipeline import archive
from haarchive.pipeline.archive import ArchiveWriter
from haarchive.pipeline.config import ActorConfig, ArchiveConfig
from haarchive.pipeline.jobs import SourceReport
from haarchive.pipeline.jobs.durable.record import load_job
from haarchive.pipeline.jobs.durable.run import run_job
from haarchive.pipeline.jobs.ray_session import ray_session
from haarchive.pipeline.jobs.restore import restore

PARTS = ("sizing", "overhead", "scaling", "small", "resume", "memory")
_SIDE, _TILE = 7680, 512
_RATE = 16_000
_JPEG_SLIDE = "cmu-1-small-region.jpeg.tiff"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the real data")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--preset", default="fast", choices=("fast", "balanced", "max"))
    parser.add_argument("--clips", type=int, default=10_000, help="small files of the parts 'small' and 'resume'")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="raw size of the zarr slide of the part 'memory'")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    on_one_thread()
    results: dict[str, Any] = {"preset": options.preset, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="haarchive-bench-") as name:
        folder = Path(name)
        for part in options.parts:
            results[part] = globals()[f"measure_{part}"](folder, options)
            for made in folder.iterdir():
                shutil.rmtree(made) if made.is_dir() else made.unlink()
            if not options.json:
                _show(part, results[part])
    if options.json:
        print(json.dumps(results))


def _show(part: str, found: dict[str, Any]) -> None:
    table = Table(title=globals()[f"measure_{part}"].__doc__, title_justify="left", show_header=False)
    for name, value in found.items():
        table.add_row(name, _text(value))
    Console().print(table)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


class Watch:
    """Notes when work began, what comes before being start-up, and stops a job in its middle."""

    def __init__(self, stop_after: float = float("inf")) -> None:
        self.scanned: float | None = None
        """When the first source had been scanned; small ones are only announced."""
        self.encoded: float | None = None
        """When the first samples were encoded, proven and written."""
        self.finished_sources = 0
        self._stop_after = stop_after

    def planned(self, source: str, raw_bytes: int) -> None:
        """A source was scanned."""
        self.scanned = self.scanned or time.monotonic()

    def advanced(self, source: str, raw_bytes: int) -> None:
        """Samples were encoded."""
        self.encoded = self.encoded or time.monotonic()

    def finished(self, report: SourceReport) -> None:
        """Stop the job, where it is to be."""
        self.finished_sources += 1
        if self.finished_sources >= self._stop_after:
            raise KeyboardInterrupt


def _since(moment: float | None) -> float:
    assert moment is not None
    return time.monotonic() - moment


def measure_sizing(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Raw pictures, and a slide of JPEG tiles, through one core: read, coded, proven, written; and back."""
    if options.data is None:
        return {"left out": "needs --data"}
    (folder / "raw").mkdir()
    for name in SETS:
        for path in find_files(options.data / "histology" / "val" / name, 5):
            tifffile.imwrite(folder / "raw" / f"{name}-{path.stem}.tif", read(name, path).samples)
    found: dict[str, Any] = {}
    for what, source in (("raw", folder / "raw"), ("jpeg", options.data / "slides" / _JPEG_SLIDE)):
        for preset in PRESETS:
            config = ArchiveConfig(preset=preset, threads=1)
            archive(source, folder / "warm", config=config, engine="local")  # kernels are loaded
            began = time.monotonic()
            report = archive(source, folder / "a", config=config, engine="local").raise_for_failures()
            archived = time.monotonic()
            restore(folder / "a", folder / "back", engine="local", threads=1).raise_for_failures()
            restored = time.monotonic()
            nbytes = sum(one.bytes for one in report.sources)
            found[f"{what}, {preset}"] = {
                "bytes": nbytes,
                "archiving_mb_per_s": nbytes / 1e6 / (archived - began),
                "restoring_mb_per_s": nbytes / 1e6 / (restored - archived),
                "stored": sum(one.archived_bytes for one in report.sources) / nbytes,
            }
            for made in ("warm", "a", "back"):
                shutil.rmtree(folder / made)
    return found


def measure_overhead(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The same slide in this process and on Ray, two workers each, after start-up."""
    slide = _slide(folder, options.data)
    config = ArchiveConfig(preset=options.preset, shard_bytes=8 << 20, threads=2, actors=ActorConfig(max_size=2))
    archive(_warm(folder), folder / "warm", config=config, engine="local")  # kernels are loaded, here and from disk
    seconds = {}
    for engine in ("local", "ray", "ray", "local"):
        watch = Watch()
        shutil.rmtree(folder / "a", ignore_errors=True)
        archive(slide, folder / "a", config=config, engine=engine, progress=watch).raise_for_failures()
        seconds.setdefault(engine, []).append(_since(watch.scanned))
    local, ray = (float(np.mean(seconds[engine])) for engine in ("local", "ray"))
    chunks = (_SIDE // _TILE) * (_SIDE // _TILE)
    return {"chunks": chunks, "local_s": local, "ray_s": ray, "overhead": ray / local - 1}


def measure_scaling(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One worker against two on Ray."""
    slide = _slide(folder, options.data)
    seconds = []
    for workers in (1, 2):
        actors = ActorConfig(min_size=workers, max_size=workers)
        config = ArchiveConfig(preset=options.preset, shard_bytes=8 << 20, actors=actors)
        watch = Watch()
        shutil.rmtree(folder / "a", ignore_errors=True)
        archive(slide, folder / "a", config=config, engine="ray", progress=watch).raise_for_failures()
        seconds.append(_since(watch.scanned))
    return {"one_s": seconds[0], "two_s": seconds[1], "speedup": seconds[0] / seconds[1]}


def measure_small(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Clips of a second as one job on Ray, start-up included."""
    clips = _clips(folder, options)
    config = ArchiveConfig(preset=options.preset, actors=ActorConfig(min_size=2, max_size=2))
    watch = Watch()
    started = time.monotonic()
    report = archive(clips, folder / "a", config=config, engine="ray", progress=watch, job="clips")
    report.raise_for_failures()
    seconds = time.monotonic() - started
    paths = [p for p in (folder / "a").rglob("*") if p.is_file() and "jobs" not in p.parts]
    return {
        "files": options.clips,
        "seconds": seconds,
        "files_per_s": options.clips / seconds,
        "objects": len(paths),
        "bytes": sum(one.bytes for one in report.sources),
        "archived_bytes": sum(p.stat().st_size for p in paths),
    }


def measure_resume(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """How soon a job that is half done encodes again: a clip in this process, a lot of 256 on Ray."""
    clips = _clips(folder, options)
    config = ArchiveConfig(preset=options.preset, actors=ActorConfig(min_size=2, max_size=2))
    with suppress(KeyboardInterrupt):
        archive(clips, folder / "a", config=config, engine="ray", progress=Watch(options.clips // 2), job="clips")
    writer = ArchiveWriter(folder / "a")
    found: dict[str, Any] = {"sources": options.clips}
    for engine, what in (("local", "first_clip_in_process_s"), ("ray", "first_lot_on_ray_s")):
        watch = Watch(1)
        started = time.monotonic()
        with suppress(KeyboardInterrupt):
            run_job(writer, load_job(writer.store, "clips"), engine=engine, progress=watch)
        assert watch.encoded is not None
        found[what] = watch.encoded - started
    return found


def measure_memory(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """A slide that no worker could hold."""
    slide, nbytes = _zarr(folder, options.gigabytes)
    config = ArchiveConfig(preset=options.preset, actors=ActorConfig(min_size=2, max_size=2))
    peaks: dict[int, int] = {}
    done = threading.Event()
    thread = threading.Thread(target=_watch_memory, args=(peaks, done))
    thread.start()
    started = time.monotonic()
    try:
        with ray_session(ActorConfig()):
            report = archive(slide, folder / "a", config=config, engine="ray").raise_for_failures()
    finally:
        done.set()
        thread.join()
    return {
        "raw_bytes": nbytes,
        "archived_bytes": report.sources[0].archived_bytes,
        "seconds": time.monotonic() - started,
        "peak_rss_of_a_worker": max(peaks.values()),
    }


def _watch_memory(peaks: dict[int, int], done: threading.Event) -> None:
    """Note the highest resident size of each worker, from the kernel's own mark."""
    while not done.wait(1.0):
        found = subprocess.run(["pgrep", "-f", "ray::ArchiveWorker"], capture_output=True, text=True, check=False)
        for pid in map(int, found.stdout.split()):
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
                peaks[pid] = int(line.split()[1]) << 10


def _warm(folder: Path) -> Path:
    path = folder / "warm.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8) + np.arange(64, dtype=np.uint8)[:, None, None])
    return path


def _slide(folder: Path, data: Path | None) -> Path:
    """An uncompressed tiled TIFF of 225 chunks: a real picture again and again, with noise that does not repeat."""
    rng = np.random.default_rng(0)
    picture = _picture(sorted((data / "histology" / "val").rglob("*.jxl")) if data else [])
    times = [-(-_SIDE // n) for n in picture.shape[:2]]
    whole = np.tile(picture, (*times, 1))[:_SIDE, :_SIDE]
    noise = rng.integers(-2, 3, whole.shape, np.int16)
    path = folder / "slide.tif"
    tifffile.imwrite(path, (whole + noise).clip(0, 255).astype(np.uint8), tile=(_TILE, _TILE))
    return path


def _picture(found: list[Path]) -> np.ndarray:
    if found:
        import imagecodecs

        return np.asarray(imagecodecs.jpegxl_decode(found[0].read_bytes()))[..., :3]
    y, x = np.mgrid[:1024, :1024]
    return np.stack([120 + 60 * np.sin(x / 17 + c) + 50 * np.cos(y / (11 + c)) for c in range(3)], -1).astype(np.uint8)


def _clips(folder: Path, options: argparse.Namespace) -> Path:
    """Files of one second of 16 kHz speech, or of filtered noise."""
    rng = np.random.default_rng(0)
    sound = np.concatenate(list(_speech(options.data)) or [_noise(rng)])
    out = folder / "clips"
    out.mkdir()
    for n in range(options.clips):
        start = int(rng.integers(0, sound.size - _RATE))
        with wave.open(str(out / f"{n:06d}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_RATE)
            file.writeframes(sound[start : start + _RATE].astype("<i2").tobytes())
    return out


def _speech(data: Path | None) -> Iterator[np.ndarray]:
    import soundfile

    for path in sorted((data / "audio").rglob("*.*")) if data else []:
        with suppress(soundfile.LibsndfileError):
            info = soundfile.info(path)
            if (info.samplerate, info.channels, info.subtype) == (_RATE, 1, "PCM_16"):
                yield soundfile.read(path, dtype="int16")[0]


def _noise(rng: np.random.Generator) -> np.ndarray:
    return np.convolve(rng.normal(0, 3000, 60 * _RATE), np.ones(8) / 8, mode="same").astype(np.int16)


def _zarr(folder: Path, gigabytes: float) -> tuple[Path, int]:
    """A zarr slide: a tenth of it tissue, the rest glass, as whole slides are."""
    import zarr

    rng = np.random.default_rng(0)
    rows = round(gigabytes * 1e9 / (_TILE * _TILE * 3) / 80)
    shape = (rows * _TILE, 80 * _TILE, 3)
    path = folder / "slide.zarr"
    array = zarr.create_array(path, shape=shape, chunks=(_TILE, _TILE, 3), dtype="uint8", compressors=None)
    tissue = _picture([])[:_TILE, :_TILE].astype(np.int16)
    for row in range(rows):
        block = np.full((_TILE, shape[1], 3), 243, np.uint8)
        for column in rng.choice(80, 8, replace=False):
            at = slice(column * _TILE, (column + 1) * _TILE)
            block[:, at] = (tissue + rng.integers(-3, 4, tissue.shape)).clip(0, 255)
        array[row * _TILE : (row + 1) * _TILE] = block
    return path, int(np.prod(shape))


if __name__ == "__main__":
    main()
