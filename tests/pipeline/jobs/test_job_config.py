"""Job configurations."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from haarchive.codecs.errors import ConfigError
from haarchive.configs import list_configs, resolve_config
from haarchive.pipeline.config import ArchiveConfig, load_config
from haarchive.pipeline.flows import FLOWS


@pytest.mark.parametrize("name", list_configs("jobs"))
def test_a_shipped_profile_is_valid(name: str) -> None:
    assert load_config(name).guarantee == "file-exact"


def test_the_local_profile_is_the_default() -> None:
    assert load_config("local") == ArchiveConfig()


def test_the_gpu_profile_has_eight_actors_share_a_gpu() -> None:
    config = load_config("gpu")
    assert (config.device, config.actors.num_gpus) == ("cuda", 0.125)


def test_a_file_takes_the_place_of_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("shard_bytes: 2MiB\nactors: {max_size: 3}\n")
    config = load_config(path)
    assert (config.shard_bytes, config.actors.max_size) == (2 << 20, 3)


def test_overrides_replace_fields_and_none_leaves_them() -> None:
    assert load_config("local", guarantee="sample-exact", device=None).guarantee == "sample-exact"
    assert load_config("local", device=None).device == "cpu"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("shard_bytes: 3B", "shard_bytes"),
        ("guarantee: lossy", "guarantee"),
        ("preset: best", "preset"),
        ("codec: jpeg-xl", "codec"),
        ("{codec: idf, drop_bands: 2}", "drop_bands needs codec 'haar', not 'idf'"),
        ("models: {wavelets: mine.safetensors}", "models.wavelets"),
        ("speed: 11", "speed"),
        ("actors: {min_size: 4, max_size: 2}", "actors: max_size 2 is below min_size 4"),
        ("device: abacus", "device"),
        ("- a\n- b", "mapping"),
        ("a: [", "YAML"),
    ],
)
def test_a_bad_configuration_names_what_is_wrong(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=named):
        load_config(path)


def test_an_unknown_profile_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match="gpu, local"):
        load_config("fast")


def test_a_model_may_replace_that_of_any_flow() -> None:
    config = ArchiveConfig.model_validate({"models": {name: f"{name}.safetensors" for name in FLOWS}})
    assert set(config.models) == FLOWS


def test_a_profile_is_a_file_of_the_package() -> None:
    assert resolve_config("local").name == "local.yaml"


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        ArchiveConfig().device = "cuda"  # type: ignore[misc]
