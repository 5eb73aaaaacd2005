"""Archive, verify, restore, read in place: ``python benchmarks/demo.py [PATH ...]``, or ``make demo``.

Without arguments it archives a real histology image that comes with scikit-image, as an uncompressed tiled
TIFF and as the PNG that it is, and a recording. With arguments it archives those files and folders instead.
Everything goes into ./demo-archive, what is restored and read into ./demo-out.
"""

from __future__ import annotations

import hashlib
import io
import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import soundfile
import tifffile
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from haarchive.codecs.errors import HaarchiveError, RegionError
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive import Archive, ArchivedSource
from haarchive.pipeline.jobs.report import JobReport
from haarchive.pipeline.jobs.restore import restore, verify

ARCHIVE, OUT = Path("demo-archive"), Path("demo-out")
MARK = "made-by-haarchive-demo"
EFFORTS = (3, 7, 9)
MOST_COMPARED = 1 << 25
"""Bytes of samples of a source that the peers are given: JPEG XL takes its time at effort 9."""

Samples = NDArray[Any]
console = Console(highlight=False)
if not console.is_terminal:
    console.width = 110


def main(arguments: Sequence[str]) -> int:
    begin = time.monotonic()
    for folder in (ARCHIVE, OUT):
        if not _start_afresh(folder):
            sys.stderr.write(f"demo: {folder} is not of an earlier demo; it is left alone. Move it away first\n")
            return 2
    try:
        sources = [Path(argument) for argument in arguments] or _make_sources(OUT / "originals")
        _step("Archiving", f"into {ARCHIVE}; every chunk is decoded again before it is written")
        report = archive(sources, ARCHIVE)
        for failed in report.failed:
            _say(f"  [red]{escape(failed.source)}: {escape(failed.error)}[/]")
        if len(report.failed) == len(report.sources):
            return 1
        opened = open_archive(ARCHIVE)
        assert isinstance(opened, Archive)
        _compare(opened, report)
        ok = _verify() and _restore(sources, opened)
        _read_in_place(opened)
    except HaarchiveError as error:
        sys.stderr.write(f"demo: {' '.join(str(error).split())}\n")
        return 1
    _say(f"\n{time.monotonic() - begin:.0f} s. More: [bold].venv/bin/haarchive --help[/]")
    return 0 if ok and report.ok else 1


def _step(what: str, how: str) -> None:
    _say(f"\n[bold]{what}[/] {how}")


def _say(text: str) -> None:
    console.print(text, soft_wrap=True)


def _start_afresh(folder: Path) -> bool:
    """Make a folder anew, unless there is one that no demo made."""
    if folder.is_symlink() or (folder.exists() and not (folder / MARK).is_file()):
        return False
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    (folder / MARK).touch()
    return True


# The originals


def _make_sources(folder: Path) -> list[Path]:
    import skimage.data

    folder.mkdir()
    image = skimage.data.immunohistochemistry()
    slide = folder / "ihc.tif"
    tifffile.imwrite(slide, image, tile=(256, 256), photometric="rgb", software="haarchive demo")
    sources = [slide]
    bundled = Path(skimage.data.data_dir) / "ihc.png"
    if bundled.is_file():
        sources.append(Path(shutil.copy(bundled, folder / "ihc.png")))
    recording = folder / "chords.wav"
    soundfile.write(recording, _synthesise(), 44100, subtype="PCM_16")
    _step("Sources", f"in {folder}")
    _say("  ihc.tif, ihc.png: a real histology image, skimage.data.immunohistochemistry; the PNG as it comes")
    _say("  chords.wav: [yellow]synthesised[/] sound, as no installed package brings a real recording")
    _say("  Your own files: make demo SRC=path")
    return [*sources, recording]


def _synthesise(seconds: float = 14.0, rate: int = 44100) -> NDArray[np.int16]:
    """Plucked chords with decaying overtones, and the noise of a room and two microphones."""
    rng = np.random.default_rng(2026)
    frames = int(seconds * rate)
    out = np.zeros((frames, 2))
    chords = (
        (220.0, 261.63, 329.63),
        (174.61, 220.0, 261.63),
        (196.0, 246.94, 293.66),
        (164.81, 207.65, 246.94),
    )
    for number, begin in enumerate(np.arange(0.4, seconds, 1.1)):
        t = np.arange(frames - int(begin * rate)) / rate
        for pitch in chords[number // 2 % len(chords)]:
            strength, pan = rng.uniform(0.5, 1.0), rng.uniform(0.3, 0.7)
            tone = np.zeros_like(t)
            for overtone in range(1, 14):
                stretched = pitch * overtone * np.sqrt(1 + 2e-4 * overtone**2)
                phase = rng.uniform(0, 2 * np.pi)
                tone += np.sin(2 * np.pi * stretched * t + phase) * np.exp(-t * (0.8 + 0.45 * overtone)) / overtone**1.3
            tone *= strength * -np.expm1(-t / 0.004)
            out[-len(t) :] += tone[:, None] * (1 - pan, pan)
    room = np.convolve(rng.normal(size=frames), np.hanning(24) / 6, mode="same")
    out = 0.12 * out + 4e-4 * room[:, None] + 2.5e-4 * rng.normal(size=out.shape)
    return np.rint(np.clip(out, -1, 1) * 32000).astype(np.int16)


# What it saves


def _compare(opened: Archive, report: JobReport) -> None:
    """Bytes beside what the peers make of the same samples."""
    table = Table(title="Bytes, and how many times smaller than the original", title_justify="left")
    table.add_column("source", overflow="fold")
    for head in ("original", "haarchive", *(f"JPEG XL e{effort}" for effort in EFFORTS), "FLAC -8"):
        table.add_column(head, justify="right")
    bar = (TextColumn("  comparing with JPEG XL and FLAC"), BarColumn(), MofNCompleteColumn())
    with Progress(*bar, console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in progress.track(opened.sources()):
            source = opened[name]
            cells = [f"{source.size:,}", _cell(source.archived_bytes, source.size, "bold green")]
            cells += [_cell(nbytes, source.size) for nbytes in _peers(source)]
            table.add_row(escape(name), *cells)
    console.print(table)
    shared = sum(sum(one.model_bytes.values()) for one in report.sources)
    _say(f"  haarchive: all that restores the file byte for byte; once an archive, models of {shared:,} bytes")
    _say("  JPEG XL, FLAC (libsndfile, level 8): the samples alone, which do not give the file back")
    _say("  –: not theirs, or coded as it came (JPEG tiles, opaque files), or too large to compare in a demo")


def _cell(nbytes: int | None, original: int, style: str = "") -> str:
    if nbytes is None:
        return "–"
    text = f"{nbytes:,}\n{original / nbytes:.2f}x"
    return f"[{style}]{text}[/]" if style else text


def _peers(source: ArchivedSource) -> Iterator[int | None]:
    """Bytes of JPEG XL at each effort and of FLAC; None where they do not apply."""
    planes: dict[str, list[Samples]] = {"image": [], "audio": []}
    described = source.manifest.layout.planes[1:]  # without the skeleton
    comparable = all(plane.codec in ("haar", "haar-audio") for plane in described)
    nbytes = sum(math.prod(plane.shape) * np.dtype(plane.dtype).itemsize for plane in described)
    if comparable and nbytes <= MOST_COMPARED:
        for number, plane in enumerate(described, start=1):
            whole = tuple(slice(0, n) for n in plane.shape)
            if all(plane.shape):
                planes[plane.kind].append(source.read_plane(number, whole))
    for effort in EFFORTS:
        yield _total(planes["image"], lambda x, e=effort: _jpeg_xl(x, e))
    yield _total(planes["audio"], lambda x: _flac(x, source.samplerate, source.bits))


def _total(planes: Sequence[Samples], nbytes: Any) -> int | None:
    try:
        return sum(nbytes(samples) for samples in planes) if planes else None
    except (RuntimeError, ValueError):  # samples that the format cannot hold
        return None


def _jpeg_xl(image: Samples, effort: int) -> int:
    return len(imagecodecs.jpegxl_encode(image, lossless=True, effort=effort))


def _flac(sound: Samples, rate: int, bits: int) -> int:
    out = io.BytesIO()
    _write_sound(out, sound, rate, bits, "FLAC", compression_level=1.0)
    return len(out.getvalue())


# What it gives back


def _verify() -> bool:
    _step("Verifying", "deep: everything is read, decoded and compared with the digests of the originals")
    return _show(verify(ARCHIVE, deep=True), lambda _: "undamaged")


def _restore(sources: Sequence[Path], opened: Archive) -> bool:
    _step("Restoring", f"into {OUT / 'restored'}")
    report = restore(ARCHIVE, OUT / "restored")
    ok = _show(report, lambda one: f"restored to {one.path}")
    for source in sources:
        if not source.is_file():
            continue
        name = next((name for name in opened.sources() if name == source.name), None)
        if name is None:
            continue
        same = _sha256(source) == _sha256(OUT / "restored" / name)
        ok &= same
        verdict = "equals the original's, read again" if same else "[red]differs from the original's[/]"
        _say(f"  {escape(name)}: SHA-256 {_sha256(source)[:16]}… {verdict}")
    return ok


def _show(report: JobReport, text: Any) -> bool:
    for one in report.sources:
        if one.status == "failed":
            _say(f"  [red]{escape(one.source)}: {escape(one.error)}[/]")
        else:
            _say(f"  {escape(one.source)}: {escape(text(one))} ({one.seconds:.1f} s)")
    return report.ok


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# What is read in place


def _read_in_place(opened: Archive) -> None:
    """A region of the largest image and a span of the largest recording, with what was fetched for them."""
    _step("Reading in place", f"into {OUT}; nothing else is unpacked")
    by_size = sorted(opened, key=lambda name: -opened[name].size)
    image = next((name for name in by_size if opened[name].levels), None)
    sound = next((name for name in by_size if not opened[name].levels and _has_sound(opened[name])), None)
    try:
        if image is not None:
            _read_image(opened, image)
        if sound is not None:
            _read_span(opened, sound, "span.wav")
    except RegionError as error:  # the format of a tile or a sound is not one that can be decoded here
        _say(f"  {escape(str(error))}")


def _read_image(opened: Archive, name: str) -> None:
    coarse = min(2, opened[name].level_count - 1)
    fine_size, coarse_size = (opened[name].level_dimensions[level] for level in (0, coarse))
    size = (min(256, fine_size[0]), min(256, fine_size[1]))
    corner = ((fine_size[0] - size[0]) // 2, (fine_size[1] - size[1]) // 2)
    _read_region(opened, name, corner, 0, size, "region.png")
    if coarse:
        size = (min(1024, coarse_size[0]), min(1024, coarse_size[1]))
        _read_region(opened, name, (0, 0), coarse, size, f"level{coarse}.png")


def _read_region(
    opened: Archive, name: str, corner: tuple[int, int], level: int, size: tuple[int, int], file: str
) -> None:
    opened[name].read_region(corner, level, (1, 1))  # the archive fetches the model once, which is not counted
    source = opened[name]
    before = opened.store.stats.bytes_read
    pixels = source.read_region(corner, level, size)
    if pixels.dtype not in (np.uint8, np.uint16) or not 1 <= pixels.shape[2] <= 4:
        _say(f"  {escape(name)}: no PNG holds {pixels.shape[2]} channels of {pixels.dtype}")
        return
    (OUT / file).write_bytes(imagecodecs.png_encode(pixels))
    _tell(source, before, file, f"{size[0]} x {size[1]} pixels at {corner}, level {level}")


def _read_span(opened: Archive, name: str, file: str) -> None:
    opened[name].read_frames(0, 1)
    source = opened[name]
    before = opened.store.stats.bytes_read
    start = min(2 * source.samplerate, source.frames // 2)
    samples = source.read_frames(start, source.samplerate)
    _write_sound(OUT / file, samples, source.samplerate, source.bits)
    seconds = [frames / source.samplerate for frames in (len(samples), start)]
    _tell(source, before, file, f"{seconds[0]:.1f} s from {seconds[1]:.1f} s on")


def _tell(source: ArchivedSource, before: int, file: str, what: str) -> None:
    fetched = source.store.stats.bytes_read - before
    _say(f"  {file}: {what}, of {escape(source.name)}; fetched {fetched:,} of {source.archived_bytes:,} bytes")


def _has_sound(source: ArchivedSource) -> bool:
    try:
        return source.frames > 0
    except RegionError:
        return False


def _write_sound(
    out: Path | io.BytesIO, sound: Samples, rate: int, bits: int, container: str = "WAV", **settings: Any
) -> None:
    if sound.dtype.kind == "i":
        width = next(width for width in (8, 16, 24, 32) if bits <= width)
        eight = "PCM_U8" if container == "WAV" else "PCM_S8"
        settings["subtype"] = {8: eight}.get(width, f"PCM_{width}")
        sound = sound.astype(np.int32) << (32 - width)  # soundfile takes samples at the top of a word
    soundfile.write(out, sound, rate, format=container, **settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
