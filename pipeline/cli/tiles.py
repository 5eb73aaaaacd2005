"""``haarchive tile``: a part of a source, as a file that other programs read."""

from __future__ import annotations

import re
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from haarchive.pipeline.archive import ArchivedSource

__all__ = ["parse_region", "parse_span", "tile_command"]

_IMAGE_SUFFIXES = (".png", ".tif", ".tiff")
_SOUND_SUFFIXES = (".wav", ".flac")
_MOST_PIXELS = 1 << 28
"""Of one image that is written: it is in memory whole."""


def tile_command(
    url: Annotated[str, typer.Argument(metavar="SOURCE", help="A source in an archive: ARCHIVE/NAME.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write: .png, .tif; for sound .wav, .flac.")],
    level: Annotated[int, typer.Option(help="Resolution level; see inspect.")] = 0,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="X,Y: upper left corner in pixels of level 0; W,H: size in pixels of the level."
            " Without it, the whole level.",
        ),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(metavar="START,SECONDS", help="START is [[HH:]MM:]SS[.fraction]. Without it, all of it."),
    ] = None,
    associated: Annotated[
        str | None, typer.Option(metavar="NAME", help="An image beside the pyramid: label, macro, thumbnail.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace OUT if it is there.")] = False,
    device: Annotated[str, typer.Option(help="Torch device of the codecs: cpu, cuda.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object about what was written.")] = False,
) -> None:
    """Read a region of an image, or a span of sound, without unpacking the rest.

    [bold]haarchive tile[/] s3://bucket/archive/slide.svs --level 0 --region 1024,2048,512,512 region.png

    [bold]haarchive tile[/] ./archive/take1.wav --span 00:01:10.5,4.0 span.wav

    [bold]haarchive tile[/] ./archive/slide.svs --associated label label.png
    """
    from haarchive.codecs.errors import ConfigError
    from haarchive.pipeline.archive import ArchivedSource, open_archive
    from haarchive.pipeline.cli.show import print_json

    suffix = out.suffix.lower()
    if suffix not in _IMAGE_SUFFIXES + _SOUND_SUFFIXES:
        known = ", ".join(_IMAGE_SUFFIXES + _SOUND_SUFFIXES)
        raise ConfigError(f"{out}: the name must end in one of {known}, which says what to write")
    if out.exists() and not force:
        raise ConfigError(f"{out} is there already; --force replaces it")
    area = parse_region(region) if region is not None else None
    times = parse_span(span) if span is not None else None
    wanted = suffix in _SOUND_SUFFIXES
    if (times and not wanted) or (wanted and (area or associated)):
        raise ConfigError(f"{out}: --span makes .wav or .flac, --region and --associated make .png or .tif")

    source = open_archive(url, device=device)
    if not isinstance(source, ArchivedSource):
        raise ConfigError(f"{url} is an archive; name a source in it, such as {url.rstrip('/')}/NAME")
    before = source.store.stats.bytes_read
    if wanted:
        samples, facts = _read_sound(source, times)
        _write(out, lambda path: _write_sound(path, suffix, samples, source))
    else:
        samples, facts = _read_image(source, level, area, associated)
        _write(out, lambda path: _write_image(path, suffix, samples))
    fetched = source.store.stats.bytes_read - before
    if as_json:
        shape = list(samples.shape)
        print_json({"source": source.name, "path": str(out), "shape": shape, **facts, "fetched_bytes": fetched})


def parse_region(text: str) -> tuple[int, int, int, int]:
    """``X,Y,W,H`` as numbers.

    Raises
    ------
    ConfigError
        If it is not four whole numbers, the last two at least 1.
    """
    from haarchive.codecs.errors import ConfigError

    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--region {text!r}: write X,Y,W,H in whole pixels, such as 1024,2048,512,512") from None
    if width < 1 or height < 1:
        raise ConfigError(f"--region {text!r}: width and height must be at least 1")
    return x, y, width, height


def parse_span(text: str) -> tuple[Decimal, Decimal]:
    """``[[HH:]MM:]SS[.fraction],SECONDS`` as start and duration in seconds, exactly.

    Raises
    ------
    ConfigError
        If it is not of that form, or the duration is 0.
    """
    from haarchive.codecs.errors import ConfigError

    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?),(\d+(?:\.\d*)?)", text.strip())
    if not match or Decimal(match[4]) == 0:
        raise ConfigError(f"--span {text!r}: write START,SECONDS, such as 00:01:10.5,4.0 or 70.5,4")
    hours, minutes = int(match[1] or 0), int(match[2] or 0)
    return Decimal(match[3]) + 60 * minutes + 3600 * hours, Decimal(match[4])


def _read_image(
    source: ArchivedSource, level: int, area: tuple[int, int, int, int] | None, associated: str | None
) -> tuple[NDArray[Any], dict[str, Any]]:
    from haarchive.codecs.errors import RegionError

    if associated is not None:
        if associated not in source.associated_images:
            names = ", ".join(source.associated_images) or "none"
            raise RegionError(f"{source.name} has no associated image {associated!r}; it has {names}")
        return source.associated_images[associated], {"associated": associated}
    if not source.levels:
        raise RegionError(f"{source.name} holds no image whose pixels can be read; write .wav or .flac for sound")
    if not 0 <= level < len(source.levels):
        raise RegionError(f"{source.name} has levels 0 to {len(source.levels) - 1}, not {level}")
    x, y, width, height = area or (0, 0, *source.level_dimensions[level])
    if width * height > _MOST_PIXELS:
        raise RegionError(f"{width} x {height} pixels are too many for one image; give a smaller --region")
    pixels = source.read_region((x, y), level, (width, height))
    return pixels, {"level": level, "region": [x, y, width, height]}


def _read_sound(source: ArchivedSource, times: tuple[Decimal, Decimal] | None) -> tuple[NDArray[Any], dict[str, Any]]:
    from haarchive.codecs.errors import RegionError

    start, frames = 0, -1
    if times:
        start, frames = (int((seconds * source.samplerate).to_integral_value()) for seconds in times)
        if start >= source.frames:
            length = source.frames / source.samplerate
            raise RegionError(f"{source.name} ends after {length:.3f} s; there is nothing at {times[0]} s")
    samples = source.read_frames(start, frames)
    return samples, {"start": start, "frames": len(samples), "samplerate": source.samplerate}


def _write(out: Path, write: Any) -> None:
    """Write a file under a temporary name beside `out`, then rename it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".haarchive-", dir=out.parent) as folder:
        path = Path(folder) / f"part{out.suffix}"
        write(path)
        path.replace(out)


def _write_image(path: Path, suffix: str, pixels: NDArray[Any]) -> None:
    import numpy as np

    from haarchive.codecs.errors import ConfigError

    pixels = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if suffix == ".png":
        import imagecodecs

        if pixels.dtype not in (np.uint8, np.uint16) or (pixels.ndim == 3 and pixels.shape[2] > 4):
            raise ConfigError(
                f"PNG cannot hold {pixels.dtype} samples in {pixels.shape[-1]} channels; write .tif instead"
            )
        path.write_bytes(imagecodecs.png_encode(pixels))
        return
    import tifffile

    photometric = "rgb" if pixels.ndim == 3 and pixels.shape[2] in (3, 4) else "minisblack"
    planar = "contig" if pixels.ndim == 3 else None
    tifffile.imwrite(
        path,
        pixels,
        photometric=photometric,
        planarconfig=planar,
        compression="zlib",
        predictor=pixels.dtype.kind == "u",
    )


def _write_sound(path: Path, suffix: str, samples: NDArray[Any], source: ArchivedSource) -> None:
    import soundfile

    from haarchive.codecs.errors import ConfigError

    # soundfile takes samples left-justified in 16 or 32 bits.
    match samples.dtype.name:
        case "int16" if source.bits <= 8:
            subtype, samples = "PCM_S8" if suffix == ".flac" else "PCM_U8", samples << 8
        case "int16":
            subtype = "PCM_16"
        case "int32" if source.bits <= 24:
            subtype, samples = "PCM_24", samples << 8
        case "int32":
            subtype = "PCM_32"
        case "float32":
            subtype = "FLOAT"
        case _:
            subtype = "DOUBLE"
    try:
        soundfile.write(path, samples, source.samplerate, subtype=subtype)
    except (soundfile.SoundFileError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{suffix[1:].upper()} cannot hold {samples.shape[1]} channels of {subtype} at"
            f" {source.samplerate} Hz; write .wav instead ({error})"
        ) from error
