"""Models by name and by file."""

from __future__ import annotations

from pathlib import Path

import pytest

from haarchive.codecs.errors import ConfigError, ModelError, ModelNotFoundError
from haarchive.pipeline.jobs.models import find_model, models_of, shipped_models


def test_every_shipped_model_is_found_by_its_name() -> None:
    assert set(shipped_models()) == {"haar-image", "haar-audio", "idf-histology", "idf-small", "idf-audio"}
    for name in shipped_models():
        assert find_model(name).card["name"] == name


def test_a_file_comes_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "idf-small").write_bytes(shipped_models()["idf-audio"].read_bytes())
    assert find_model("idf-small").codec == "idf-audio"
    assert find_model(tmp_path / "idf-small").digest == find_model("idf-audio").digest


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="those that come with haarchive are haar-audio, haar-image, idf-"):
        find_model("idf-large")
    with pytest.raises(ModelNotFoundError, match=r"directory"):
        find_model(tmp_path)


def test_a_file_that_is_no_model_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no model")
    with pytest.raises(ModelError, match=r"notes\.txt: not a haarchive model file"):
        find_model(path)


def saved(name: str, folder: Path) -> Path:
    path = folder / f"{name}.safetensors"
    path.write_bytes(shipped_models()[name].read_bytes())
    return path


def test_models_say_which_flows_they_are_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures, sound = saved("idf-small", tmp_path), saved("idf-audio", tmp_path)
    assert models_of([pictures]) == ("idf", {"idf": pictures})
    assert models_of([Path(sound.name), pictures]) == ("idf", {"idf": pictures, "idf-audio": sound})


def test_models_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    small, large, haar = (saved(name, tmp_path) for name in ("idf-small", "idf-histology", "haar-image"))
    with pytest.raises(
        ConfigError, match=r"idf-small.safetensors and .*idf-histology.safetensors are both for .*'idf'"
    ):
        models_of([small, large])
    with pytest.raises(ConfigError, match="models of haar and idf cannot be used together"):
        models_of([small, haar])
