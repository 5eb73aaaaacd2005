"""How lossless audio codecs do on recordings: ``python benchmarks/lossless_audio.py --data DIR``.

Ours is measured as the archive uses it: every chunk of the archive's grid for itself, real bitstreams, checksums and
index not counted; the codec haar-audio by each preset (or some: ``--preset NAME ...``), the codec idf-audio by `fast`
and `max` (or others: ``--idf NAME ...``, or none: ``--idf``). FLAC and WavPack are the command line tools where they
are installed: their times hold starting a process and reading and writing files, which weighs on short recordings.
FLAC's files have no padding and no seek table. Where there is no `flac`, libsndfile's FLAC stands in, and is called so.

bits: bits a sample. / -5, / -8ep, / wv: bytes in relation to FLAC's at these settings and to WavPack's; below 1 is
smaller. x time: seconds of sound coded in a second.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from _common import (
    Contender,
    Item,
    Reference,
    find_files,
    measure,
    on_one_thread,
    options,
    print_tables,
    refuse,
    summarise,
    write_json,
)
from numpy.typing import NDArray

from haarchive.codecs import Bitstream, Codec, get_codec
from haarchive.codecs.haar.presets import PRESETS, Preset
from haarchive.pipeline.sources.grid import audio_chunk

SETS = (
    "bio_bats",
    "med_heart",
    "med_lung",
    "music_48k",
    "music_96k24",
    "music_cd",
    "speech16k_an4",
    "speech48k_tsp",
)
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24}


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=list(PRESETS), help="default: all")
    parser.add_argument(
        "--idf",
        nargs="*",
        choices=PRESETS,
        default=["fast", "max"],
        help="presets of the codec idf-audio; default: fast max",
    )
    chosen = options(__doc__, SETS, parents=[parser])
    on_one_thread()
    folder = chosen.data / "audio" / "val"
    for name in chosen.sets:
        if not (folder / name).is_dir():
            refuse(f"there is no set {name!r} in {folder}")
    files = [(name, path) for name in chosen.sets for path in find_files(folder / name, chosen.limit)]
    with tempfile.TemporaryDirectory(prefix="haarchive-bench-") as scratch:
        flac, references = _flac(Path(scratch))
        wavpack = _wavpack(Path(scratch))
        references = (*references, *(Reference(one.name, "/ wv") for one in wavpack))
        wanted = [*(("haar", preset) for preset in chosen.preset), *(("idf", preset) for preset in chosen.idf)]
        contenders = [ours(name, preset) for name, preset in wanted]
        measurements = measure(files, read, [*contenders, *flac, *wavpack], _warm_up())
    rows = summarise(measurements, references, {"all sets, mean": chosen.sets})
    print_tables(rows, references, "bits")
    if chosen.json:
        write_json(chosen.json, rows, measurements, _libraries())


def read(name: str, path: Path) -> Item:
    """Samples as integers of their own width, as the archive takes them from a WAV file."""
    with soundfile.SoundFile(path) as sound:
        if sound.subtype not in _BITS:
            refuse(f"{path}: {sound.subtype} samples are not measured here")
        bits, rate = _BITS[sound.subtype], sound.samplerate
        samples = sound.read(dtype="int32", always_2d=True) >> (32 - bits)
    samples = samples.astype(np.int16 if bits <= 16 else np.int32)
    return _item(name, path.name, samples, bits, rate)


def _item(name: str, file: str, samples: NDArray[Any], bits: int, rate: int) -> Item:
    # What tools are given, made here so that it is in nobody's time.
    wav = io.BytesIO()
    _write_sound(wav, samples, bits, rate, "WAV")
    attrs = {"bits": bits, "rate": rate, "duration": len(samples) / rate, "wav": wav.getvalue()}
    return Item(name, file, samples, samples.size * bits // 8, attrs)


def ours(name: str, preset: Preset) -> Contender:
    """A preset of one of our flows; those of haar-audio, the default, go by their own name."""
    codec = get_codec(f"{name}-audio", preset=preset)
    return Contender(
        f"haarchive {preset}" if name == "haar" else f"haarchive {name} {preset}",
        partial(encode_chunks, codec),
        partial(decode_chunks, codec),
        lambda bits: sum(b.nbytes for b in bits),
    )


def encode_chunks(codec: Codec, item: Item) -> list[Bitstream]:
    return [codec.encode([item.samples[span]])[0] for span in _spans(item.samples)]


def decode_chunks(codec: Codec, bitstreams: list[Bitstream], item: Item) -> NDArray[Any]:
    out = np.empty_like(item.samples)
    for span, bitstream in zip(_spans(out), bitstreams, strict=True):
        out[span] = codec.decode([bitstream])[0]
    return out


def _spans(samples: NDArray[Any]) -> Iterator[slice]:
    """The chunks that the archive cuts a recording into."""
    frames, _ = audio_chunk(samples.shape[1])
    for start in range(0, len(samples), frames):
        yield slice(start, start + frames)


def _flac(scratch: Path) -> tuple[list[Contender], tuple[Reference, ...]]:
    if not shutil.which("flac"):
        levels = [
            Contender(f"FLAC {level} (libsndfile)", partial(_encode_sndfile, level=level / 8), _decode_sndfile)
            for level in (5, 8)
        ]
        return levels, (Reference(levels[0].name, "/ FLAC 5"), Reference(levels[1].name, "/ FLAC 8"))
    plain = ["--totally-silent", "-f", "--no-padding", "--no-seektable", "--lax"]
    tools = [
        _tool(scratch / "packed.flac", name, ["flac", *level, *plain], ["flac", "-d", "--totally-silent", "-f"])
        for name, level in (
            ("flac -5", ["-5"]),
            ("flac -8", ["-8"]),
            ("flac -8 -e -p", ["-8", "-e", "-p"]),
        )
    ]
    return tools, (Reference("flac -5", "/ -5"), Reference("flac -8 -e -p", "/ -8ep"))


def _wavpack(scratch: Path) -> list[Contender]:
    if not (shutil.which("wavpack") and shutil.which("wvunpack")):
        return []
    return [_tool(scratch / "packed.wv", "wavpack -hhx6", ["wavpack", "-hhx6", "-q", "-y"], ["wvunpack", "-q", "-y"])]


def _tool(packed: Path, name: str, encode: list[str], decode: list[str]) -> Contender:
    """A command that packs a WAV file and one that unpacks it, both called with ``IN -o OUT``."""
    wav, back = packed.with_name("in.wav"), packed.with_name("out.wav")

    def to_packed(item: Item) -> Path:
        wav.write_bytes(item.attrs["wav"])
        packed.unlink(missing_ok=True)
        back.unlink(missing_ok=True)
        _run([*encode, str(wav), "-o", str(packed)])
        return packed

    def to_wav(_: Path, item: Item) -> tuple[Path, Item]:
        _run([*decode, str(packed), "-o", str(back)])
        return back, item

    def samples(decoded: tuple[Path, Item]) -> NDArray[Any]:
        path, item = decoded
        return _read_integers(path, item)

    return Contender(name, to_packed, to_wav, lambda path: path.stat().st_size, samples)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or f'status {done.returncode}'}")


def _read_integers(file: Path | io.BytesIO, item: Item) -> NDArray[Any]:
    return soundfile.read(file, dtype="int32", always_2d=True)[0] >> (32 - item.attrs["bits"])


def _encode_sndfile(item: Item, level: float) -> bytes:
    out = io.BytesIO()
    _write_sound(out, item.samples, item.attrs["bits"], item.attrs["rate"], "FLAC", compression_level=level)
    return out.getvalue()


def _decode_sndfile(data: bytes, item: Item) -> NDArray[Any]:
    return _read_integers(io.BytesIO(data), item)


def _write_sound(out: io.BytesIO, samples: NDArray[Any], bits: int, rate: int, container: str, **settings: Any) -> None:
    eight = "PCM_U8" if container == "WAV" else "PCM_S8"
    subtype = {8: eight, 16: "PCM_16", 24: "PCM_24"}[bits]
    left_justified = samples.astype(np.int32) << (32 - bits)
    soundfile.write(out, left_justified, rate, subtype=subtype, format=container, **settings)


def _warm_up() -> Item:
    noise = np.random.default_rng(0).normal(0, 800, (1 << 14, 2)).cumsum(0)
    return _item("", "", (noise - noise.mean(0)).clip(-32000, 32000).astype(np.int16), 16, 44100)


def _libraries() -> dict[str, str]:
    found = {"libsndfile": soundfile.__libsndfile_version__}
    for tool in ("flac", "wavpack"):
        if shutil.which(tool):
            said = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout
            found[tool] = said.splitlines()[0].split()[-1]
    return found


if __name__ == "__main__":
    main()
