import os

import pytest

from haarchive.codecs.errors import ConfigError, SourceNotFoundError, SourceUnreadableError
from haarchive.pipeline.sources import SourceRef, discover, open_source


@pytest.fixture
def folder(tmp_path):
    for name in ("a/b.tif", "a/.hidden", "a/deep/er/c.wav", "x.bin", "y.bin"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def names(*paths):
    return [ref.name for ref in discover([str(path) for path in paths])]


def test_a_file_is_called_by_its_base_name(folder):
    assert discover([str(folder / "a" / "b.tif")]) == [SourceRef(str(folder / "a" / "b.tif"), "b.tif")]


def test_a_folder_gives_all_its_files_hidden_ones_too_under_its_own_name(folder):
    assert names(folder / "a") == ["a/.hidden", "a/b.tif", "a/deep/er/c.wav"]


def test_the_current_folder_is_called_by_its_real_name(folder, monkeypatch):
    monkeypatch.chdir(folder / "a" / "deep")
    assert names(".") == ["deep/er/c.wav"]
    assert names("..") == ["a/.hidden", "a/b.tif", "a/deep/er/c.wav"]


def test_a_pattern_gives_its_matches_in_order(folder):
    assert names(folder / "*.bin") == ["x.bin", "y.bin"]
    assert names(folder / "**" / "*.wav") == ["c.wav"]


def test_what_lies_in_a_matching_folder_is_found_with_it_and_once(folder):
    assert names(folder / "a" / "**") == ["a/.hidden", "a/b.tif", "a/deep/er/c.wav"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder):
    (folder / "slide[1].tif").write_bytes(b"x")
    assert names(folder / "slide[1].tif") == ["slide[1].tif"]


def test_a_file_named_twice_is_one_source(folder):
    assert names(folder / "x.bin", folder / "*.bin") == ["x.bin", "y.bin"]


def test_two_sources_of_the_same_name_are_refused(folder):
    (folder / "a" / "x.bin").write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"both be archived as 'x\.bin'"):
        names(folder / "x.bin", folder / "a" / "x.bin")


@pytest.mark.parametrize("path", ["missing.tif", "*.missing"])
def test_what_is_not_there_is_an_error(folder, path):
    with pytest.raises(SourceNotFoundError, match="missing"):
        names(folder / path)


def test_a_link_to_a_parent_folder_is_not_followed_for_ever(folder):
    (folder / "a" / "deep" / "loop").symlink_to(folder / "a")
    assert names(folder / "a") == ["a/.hidden", "a/b.tif", "a/deep/er/c.wav"]


def test_a_link_to_a_folder_elsewhere_is_followed(folder):
    (folder / "other").mkdir()
    (folder / "other" / "link").symlink_to(folder / "a" / "deep")
    assert names(folder / "other") == ["other/link/er/c.wav"]


def test_a_dangling_link_is_listed_and_fails_when_it_is_opened(folder):
    (folder / "a" / "dangling").symlink_to(folder / "nowhere")
    (ref,) = [ref for ref in discover([str(folder / "a")]) if ref.name == "a/dangling"]
    with pytest.raises(SourceNotFoundError, match="dangling"):
        open_source(ref)


def test_a_pipe_is_listed_and_refused_without_waiting_for_a_writer(folder):
    os.mkfifo(folder / "a" / "pipe")
    (ref,) = [ref for ref in discover([str(folder / "a")]) if ref.name == "a/pipe"]
    with pytest.raises(SourceUnreadableError, match="not a regular file"):
        open_source(ref)


def test_a_plain_folder_cannot_be_opened_as_a_source(folder):
    with pytest.raises(SourceUnreadableError, match="no zarr store"):
        open_source(SourceRef(str(folder), "folder"))


def test_a_name_that_is_no_unicode_gets_its_bad_bytes_spelled_out(folder):
    (folder / "a" / os.fsdecode(b"bad\xff.bin")).write_bytes(b"x")
    (ref,) = [ref for ref in discover([str(folder / "a")]) if "bad" in ref.name]
    assert ref.name == "a/bad\\xff.bin"
    with open_source(ref) as source:
        assert source.layout.size == 1


def test_an_unknown_guarantee_is_refused(folder):
    with pytest.raises(ConfigError, match="no guarantee"):
        open_source(SourceRef(str(folder / "x.bin"), "x.bin"), guarantee="lossy")


def test_a_listed_file_has_its_size_and_a_version_that_changes_with_it(folder):
    (before,) = discover([str(folder / "x.bin")])
    assert before.size == len("x.bin")
    (folder / "x.bin").write_bytes(b"other content")
    (after,) = discover([str(folder / "x.bin")])
    assert after.size == len("other content")
    assert after == before
    assert after.version != before.version


def test_a_listed_store_has_the_size_of_all_members_and_the_version_of_them_together(folder):
    (folder / "s.zarr").mkdir()
    (folder / "s.zarr" / "zarr.json").write_bytes(b"{}")
    (folder / "s.zarr" / "c").write_bytes(b"chunk")
    by_itself, within = discover([str(folder / "s.zarr")])[0], discover([str(folder)])[-3]
    assert (by_itself.name, by_itself.size) == ("s.zarr", 7)
    assert (within.path, within.size, within.version) == (by_itself.path, 7, by_itself.version)
    (folder / "s.zarr" / "d").touch()
    assert discover([str(folder / "s.zarr")])[0].version != by_itself.version


def test_paths_of_listed_sources_are_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert [ref.path for ref in discover(["x.bin", "a"])][:2] == [str(folder / "x.bin"), str(folder / "a" / ".hidden")]
