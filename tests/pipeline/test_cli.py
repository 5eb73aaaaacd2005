"""The command line: every command, its output, its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import soundfile
import tifffile
from typer.testing import CliRunner, Result

from haarchive.codecs.errors import ConfigError
from haarchive.codecs.haar.presets import PRESETS
from haarchive.pipeline import archive, open_archive
from haarchive.pipeline.archive.keys import manifest_key
from haarchive.pipeline.cli import app
from haarchive.pipeline.cli.show import human_bytes
from haarchive.pipeline.cli.tiles import parse_region, parse_span
from haarchive.pipeline.jobs.durable.record import load_job
from haarchive.pipeline.storage import open_store

COMMAND = [sys.executable, "-c", "from haarchive.pipeline.cli import main; main()"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A smooth picture, (240, 300, 3) uint8."""
    y, x = np.mgrid[:240, :300]
    return np.stack([120 + 60 * np.sin(x / 17), 99 + y / 3, (x + y) / 4], axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Two seconds of floating-point stereo, (16000, 2) float32."""
    t = np.arange(16000) / 8000
    return np.stack([np.sin(440 * t), np.cos(555 * t)], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, picture: np.ndarray, sound: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("files")
    tifffile.imwrite(folder / "slide.tif", picture, tile=(128, 128), compression="jpeg")
    soundfile.write(folder / "take.wav", sound, 8000, subtype="FLOAT")
    (folder / "notes.txt").write_text("stained 14 May\n" * 100)
    return folder


@pytest.fixture(scope="module")
def archived(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("archive")
    archive([files / name for name in ("slide.tif", "take.wav", "notes.txt")], url).raise_for_failures()
    return url


@pytest.mark.parametrize("command", [[], ["archive"], ["inspect"], ["verify"], ["restore"], ["tile"]])
def test_help_shows_an_example_of_every_command(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"haarchive {command[0]}" in result.stdout if command else "haarchive archive" in result.stdout


def test_help_comes_without_importing_what_only_jobs_need() -> None:
    code = "import sys, haarchive.pipeline.cli as _;"
    code += "print([m for m in ('torch', 'ray', 'tifffile', 'pyarrow') if m in sys.modules])"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - started < 10


def test_archiving_says_what_was_saved(files: Path, tmp_path: Path) -> None:
    result = run("archive", files, tmp_path / "a")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    assert "slide.tif: " in result.stdout
    assert "file-exact, jpeg " in result.stdout
    assert result.stderr == ""


def test_archiving_prints_one_json_object_a_source(files: Path, tmp_path: Path) -> None:
    result = run("archive", files / "slide.tif", files / "notes.txt", tmp_path / "a", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["source"] for row in rows} == {"slide.tif", "notes.txt"}
    for row in rows:
        assert {"source", "bytes", "archived_bytes", "guarantee", "codecs", "seconds"} <= row.keys()
        assert row["bytes"] == (files / row["source"]).stat().st_size
        assert all({"chunks", "raw_bytes", "bytes"} == codec.keys() for codec in row["codecs"].values())


def test_a_file_that_was_cut_short_exits_with_1_unless_it_is_to_be_kept(files: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tif"
    cut.write_bytes((files / "slide.tif").read_bytes()[:-100])
    result = run("archive", cut, files / "notes.txt", tmp_path / "a")
    assert result.exit_code == 1
    assert "1 of 2 sources not archived" in result.stderr
    assert "cut.tif: is cut short: tile 5 of IFD 0" in result.stderr
    assert list(open_archive(tmp_path / "a")) == ["notes.txt"]
    result = run("archive", cut, tmp_path / "a", "--keep-damaged", "--json")
    assert result.exit_code == 0
    assert "tile 5 of IFD 0" in json.loads(result.stdout)["note"]


def test_every_preset_can_be_asked_for(files: Path, picture: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", picture)
    for preset in PRESETS:
        result = run("archive", tmp_path / "raw.tif", tmp_path / preset, "--preset", preset, "--json")
        assert json.loads(result.stdout)["preset"] == preset


def test_another_codec_can_be_asked_for_and_is_shown(picture: np.ndarray, tmp_path: Path) -> None:
    noisy = picture[:64, :64] + np.random.default_rng(0).integers(0, 9, (64, 64, 3), np.uint8)
    tifffile.imwrite(tmp_path / "raw.tif", noisy, photometric="rgb")
    result = run("archive", tmp_path / "raw.tif", tmp_path / "a", "--codec", "idf", "--preset", "fast", "--json")
    model = json.loads(result.stdout)["models"]["idf"]
    shown = run("inspect", tmp_path / "a" / "raw.tif").stdout
    assert "1 chunks for idf" in shown
    assert f"model      idf: {model}" in shown
    assert run("restore", tmp_path / "a", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "raw.tif").read_bytes() == (tmp_path / "raw.tif").read_bytes()


def test_a_submitted_job_is_written_down_with_its_codec(files: Path, tmp_path: Path) -> None:
    command = ["submit", "--address", "127.0.0.1:9", "--job", "one", "--codec", "idf"]
    result = run(*command, files / "notes.txt", tmp_path / "a")
    assert "no Ray job server answers" in result.stderr
    assert load_job(open_store(tmp_path / "a"), "one").config["codec"] == "idf"


def test_pictures_that_lose_details_are_never_lossy_in_silence(picture: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", picture)
    result = run("archive", tmp_path / "raw.tif", tmp_path / "a", "--drop-bands", 2, "--preset", "fast")
    assert result.exit_code == 0
    assert "lossy-drop-bands-2" in result.stdout
    assert result.stderr.count("\n") == 1
    assert "their originals cannot be restored" in result.stderr
    again = run("archive", tmp_path / "raw.tif", tmp_path / "a", "--drop-bands", 2, "--json")
    assert json.loads(again.stdout)["guarantee"] == "lossy-drop-bands-2"
    shown = run("inspect", tmp_path / "a" / "raw.tif").stdout
    assert "lossy-drop-bands-2: pictures lack details, the original cannot be restored" in shown
    assert "2 finest levels dropped" in shown
    facts = json.loads(run("inspect", tmp_path / "a" / "raw.tif", "--json").stdout)
    assert [plane["dropped_bands"] for plane in facts["planes"]] == [0, 2]
    assert facts["members"][0]["sha256"] == ""
    assert "raw.drop-bands-2.tif" in run("restore", tmp_path / "a", tmp_path / "out").stdout


def test_a_missing_source_exits_with_1_and_names_it_while_others_are_archived(files: Path, tmp_path: Path) -> None:
    result = run("archive", files / "notes.txt", tmp_path / "none.svs", tmp_path / "a")
    assert result.exit_code == 1
    assert "1 of 2 sources not archived" in result.stderr
    assert "none.svs: no such file" in result.stderr
    assert list(open_archive(tmp_path / "a")) == ["notes.txt"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["archive", "only-one"],
        ["archive", "a", "b", "--local", "--ray"],
        ["archive", "a", "b", "--guarantee", "lossy"],
        ["archive", "a", "b", "--preset", "best"],
        ["archive", "a", "b", "--codec", "wavelets"],
        ["archive", "a", "b", "--codec", "idf", "--drop-bands", "1"],
        ["archive", "a", "b", "--drop-bands", "5"],
        ["archive", "a", "b", "--drop-bands", "1", "--guarantee", "file-exact"],
        ["archive", "a", "b", "--drop-bands", "1", "--guarantee", "sample-exact"],
        ["archive", "a", "b", "--config", "no-such-profile"],
        ["archive", "a", "gopher://b"],
        ["dance"],
        ["tile", "a", "out.jpg"],
        ["tile", "a", "out.png", "--region", "1,2,3"],
        ["tile", "a", "out.png", "--region", "1,2,0,4"],
        ["tile", "a", "out.wav", "--span", "1:2:3:4,5"],
        ["tile", "a", "out.wav", "--region", "1,2,3,4"],
        ["tile", "a", "out.png", "--span", "1,2"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("something")
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_as_the_archive_is_wrong_usage(files: Path) -> None:
    result = run("archive", files / "slide.tif", files / "notes.txt")
    assert result.exit_code == 2
    assert "notes.txt is a file" in " ".join(result.stderr.replace("│", " ").split())


def test_inspecting_an_archive_lists_its_sources(archived: Path) -> None:
    result = run("inspect", archived)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["notes.txt", "slide.tif", "take.wav"]
    assert "tiff 300 x 240" in lines[1]
    assert lines[3].startswith("3 sources")


def test_inspecting_a_source_shows_its_planes_levels_and_codecs(archived: Path) -> None:
    result = run("inspect", archived / "slide.tif")
    for text in ("level 0    300 x 240", "skeleton", "tiles 2 x 3", "jpeg: ", "file-exact", "sha-256"):
        assert text in result.stdout


def test_inspecting_as_json_gives_the_facts(archived: Path, files: Path) -> None:
    facts = json.loads(run("inspect", archived / "slide.tif", "--json").stdout)
    assert facts["bytes"] == (files / "slide.tif").stat().st_size
    assert [plane["kind"] for plane in facts["planes"]] == ["bytes", "tiles"]
    assert (facts["levels"][0]["width"], facts["levels"][0]["height"]) == (300, 240)
    assert len(run("inspect", archived, "--json").stdout.splitlines()) == 3


@pytest.mark.parametrize("command", ["inspect", "verify", "restore", "tile"])
def test_what_is_not_there_exits_with_1_in_one_line(archived: Path, tmp_path: Path, command: str) -> None:
    out = {"restore": [tmp_path / "out"], "tile": [tmp_path / "out.png"]}.get(command, [])
    for url in (archived / "nothing.svs", tmp_path / "nowhere"):
        result = run(command, url, *out)
        assert result.exit_code == 1
        assert len(result.stderr.splitlines()) == 1
        assert result.stderr.startswith("haarchive: ")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    command = [*COMMAND, "--debug", "inspect", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("options", [[], ["--deep"]])
def test_verifying_a_whole_archive_exits_with_0(archived: Path, options: list[str]) -> None:
    result = run("verify", archived, *options)
    assert result.exit_code == 0
    assert result.stdout.count("verified") == 3


def test_a_flipped_bit_in_a_shard_exits_with_1_and_names_source_and_chunk(files: Path, tmp_path: Path) -> None:
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(3).bytes(400_000))  # too much for its manifest
    archive([files, tmp_path / "noise.bin"], tmp_path / "a").raise_for_failures()
    name = "noise.bin"
    shard = open_archive(tmp_path / "a" / name).manifest.shards[0]
    path = tmp_path / "a" / "shards" / f"{shard.sha256}.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = run("verify", tmp_path / "a")
    assert result.exit_code == 1
    assert result.stdout.count("verified") == 3
    assert name in result.stderr
    assert "chunk 0 of plane 0" in result.stderr
    assert run("restore", tmp_path / "a" / name, tmp_path / "out").exit_code == 1
    assert not (tmp_path / "out" / name).exists()


def test_a_flipped_bit_in_a_manifest_hides_no_other_source(files: Path, tmp_path: Path) -> None:
    archive(files, tmp_path / "a").raise_for_failures()
    path = tmp_path / "a" / manifest_key(f"{files.name}/slide.tif")
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    for command in (["inspect"], ["verify"]):
        result = run(*command, tmp_path / "a")
        assert result.exit_code == 1
        assert "slide.tif" in result.stderr
        assert "take.wav" in result.stdout
    assert run("archive", files, tmp_path / "a").exit_code == 1


def test_an_archive_of_a_newer_version_is_refused(files: Path, tmp_path: Path) -> None:
    archive(files / "notes.txt", tmp_path / "a")
    (tmp_path / "a" / "archive.json").write_text('{"format": "haarchive", "version": 99}')
    for command in (["inspect", tmp_path / "a"], ["archive", files / "take.wav", tmp_path / "a"]):
        result = run(*command)
        assert result.exit_code == 1
        assert "version 99" in result.stderr


def test_restoring_gives_the_original_files(files: Path, archived: Path, tmp_path: Path) -> None:
    result = run("restore", archived, tmp_path / "out")
    assert result.exit_code == 0
    for name in ("slide.tif", "take.wav", "notes.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (files / name).read_bytes()


def test_restoring_over_a_file_needs_force(archived: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    assert run("restore", archived / "notes.txt", tmp_path).exit_code == 1
    assert (tmp_path / "notes.txt").read_text() == "precious"
    assert run("restore", archived / "notes.txt", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "notes.txt").read_text().startswith("stained")


def test_a_full_disk_is_one_line_and_the_small_sources_are_archived(files: Path, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(np.random.default_rng(0).bytes(2_000_000))
    limited = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000));"
        "from haarchive.pipeline.cli import main; main()"
    )
    command = [sys.executable, "-c", limited, "archive", str(tmp_path / "big.bin")]
    command += [str(files / "notes.txt"), str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "big.bin: " in done.stderr
    assert "Traceback" not in done.stderr
    assert list(open_archive(tmp_path / "a")) == ["notes.txt"]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_tile_is_that_region_of_the_picture(picture: np.ndarray, tmp_path: Path, suffix: str) -> None:
    slide, out = tmp_path / "slide.tif", tmp_path / f"region.{suffix}"
    noisy = np.tile(picture, (6, 6, 1)) ^ np.random.default_rng(0).integers(0, 32, (1440, 1800, 3), np.uint8)
    tifffile.imwrite(slide, noisy, tile=(128, 128), compression="jpeg")
    archive(slide, tmp_path / "a").raise_for_failures()
    result = run("tile", tmp_path / "a" / "slide.tif", out, "--region", "100,50,64,32", "--json")
    assert result.exit_code == 0, result.stderr
    read = imagecodecs.imread(out) if suffix == "png" else tifffile.imread(out)
    assert np.array_equal(read, tifffile.imread(slide)[50:82, 100:164])
    facts = json.loads(result.stdout)
    assert facts["shape"] == [32, 64, 3]
    assert 0 < facts["fetched_bytes"] < slide.stat().st_size / 5


def test_a_tile_without_a_region_is_the_whole_level(files: Path, archived: Path, tmp_path: Path) -> None:
    assert run("tile", archived / "slide.tif", tmp_path / "all.tif").exit_code == 0
    assert np.array_equal(tifffile.imread(tmp_path / "all.tif"), tifffile.imread(files / "slide.tif"))


def test_a_span_is_that_part_of_the_sound(archived: Path, tmp_path: Path, sound: np.ndarray) -> None:
    out = tmp_path / "span.wav"
    result = run("tile", archived / "take.wav", out, "--span", "00:00:00.5,0.25")
    assert result.exit_code == 0, result.stderr
    samples, rate = soundfile.read(out, dtype="float32")
    assert rate == 8000
    assert np.array_equal(samples, sound[4000:6000])


def test_a_tile_does_not_replace_a_file_without_force(archived: Path, tmp_path: Path) -> None:
    out = tmp_path / "region.png"
    out.write_text("precious")
    arguments = ["tile", archived / "slide.tif", out, "--region", "0,0,8,8"]
    assert run(*arguments).exit_code == 2
    assert out.read_text() == "precious"
    assert run(*arguments, "--force").exit_code == 0
    assert imagecodecs.imread(out).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("source", "out", "options", "said"),
    [
        ("slide.tif", "x.png", ["--level", "9"], "levels 0 to"),
        ("slide.tif", "x.png", ["--associated", "label"], "no associated image"),
        ("slide.tif", "x.wav", [], "no sound"),
        ("notes.txt", "x.png", [], "no image"),
        ("take.wav", "x.wav", ["--span", "5,1"], "ends after 2.000 s"),
    ],
)
def test_what_a_source_does_not_have_is_named(
    archived: Path, tmp_path: Path, source: str, out: str, options: list[str], said: str
) -> None:
    result = run("tile", archived / source, tmp_path / out, *options)
    assert result.exit_code == 1
    assert said in result.stderr
    assert not any(tmp_path.iterdir())


def test_a_span_may_be_written_with_hours_minutes_or_seconds_only() -> None:
    assert parse_span("01:02:03.5,4") == (Decimal("3723.5"), Decimal(4))
    assert parse_span("2:3,0.25") == (Decimal(123), Decimal("0.25"))
    assert parse_span("70.25,4.0") == (Decimal("70.25"), Decimal(4))


@pytest.mark.parametrize("text", ["", "1", "1,0", "-1,2", "a,b", "1:2:3:4,5", "1,2,3"])
def test_a_span_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="START,SECONDS"):
        parse_span(text)


def test_a_region_may_begin_outside_of_the_picture() -> None:
    assert parse_region("-5, -6, 7, 8") == (-5, -6, 7, 8)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_938_955, "1.94 MB"), (5e12, "5 TB")]
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert human_bytes(size) == text
