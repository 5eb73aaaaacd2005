"""The package as users install it, and which of its parts may know which."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("codecs", "configs", "pipeline")

IMPORT_EVERYTHING = """
import codecs, importlib.resources, json, pkgutil
from pathlib import Path
import haarchive.codecs, haarchive.configs, haarchive.pipeline
from haarchive.codecs.haar.shipped import shipped_model
from haarchive.pipeline import archive, open_archive

packages = (haarchive.codecs, haarchive.configs, haarchive.pipeline)
print(json.dumps({
    "standard_library": codecs.lookup("utf-8").name,
    "homes": [str(Path(p.__file__).parent) for p in packages],
    "presets": haarchive.configs.list_configs(),
    "model_bytes": len(shipped_model("haar")),
    "typed": [importlib.resources.files(p).joinpath("py.typed").is_file()
              for p in ("haarchive.codecs", "haarchive.pipeline")],
}))
"""


@dataclass(frozen=True)
class Installation:
    """A fresh environment with haarchive in it."""

    home: Path
    project: Path

    def run(self, *arguments: str) -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COVERAGE"))}
        done = subprocess.run(arguments, cwd=self.home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def bin(self) -> Path:
        return self.home / ("Scripts" if os.name == "nt" else "bin")


def source_files() -> set[str]:
    """Everything under the packages' folders that is not made by running them."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Full names of all that a module imports, and of what it may import by name at run time."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                here = ["haarchive", *path.relative_to(ROOT).parent.parts]
                parent = ".".join(here[: len(here) - level + 1]) if level else ""
                origin = ".".join(filter(None, (parent, module)))
                yield from (f"{origin}.{alias.name}" for alias in names)
            case ast.Constant(value=str(text)) if text.startswith("haarchive.") and " " not in text:
                yield text


def belongs(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what packaging needs, so that building leaves nothing in the working tree."""
    copy = tmp_path_factory.mktemp("project")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(project))
    return next(out.glob("*.whl"))


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def install(home: Path, project: Path, *what: str) -> Installation:
    """Install into a new environment that finds the libraries of this one, but not its haarchive."""
    venv.create(home, symlinks=os.name != "nt")
    installation = Installation(home, project)
    python = installation.bin / "python"
    site = Path(installation.run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Folders that a .pth file names are searched; .pth files in them (an editable haarchive's) do not run.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "libraries.pth").write_text("\n".join(sorted(libraries)) + "\n")
    pip("--python", str(python), "install", "--no-deps", "--no-build-isolation", "--ignore-installed", *what)
    return installation


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installation(
    request: pytest.FixtureRequest, wheel: Path, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Installation, Path]:
    """An installation, and the folder that its packages should be imported from."""
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "wheel":
        return install(home, project, str(wheel)), home
    return install(home, project, "--editable", str(project)), project


def test_installation_imports_all_packages_with_weights_presets_and_types(
    installation: tuple[Installation, Path],
) -> None:
    installed, origin = installation
    facts = json.loads(installed.run(str(installed.bin / "python"), "-c", IMPORT_EVERYTHING))
    assert all(Path(home).is_relative_to(origin) for home in facts["homes"]), facts
    assert facts["standard_library"] == "utf-8"
    assert {"local", "gpu"} <= set(facts["presets"])
    assert facts["model_bytes"] > 1000
    assert facts["typed"] == [True, True]


def test_installation_has_the_command(installation: tuple[Installation, Path]) -> None:
    installed, _ = installation
    assert "archive" in installed.run(str(installed.bin / "haarchive"), "--help")


def test_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    names = {name.removeprefix("haarchive/") for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == source_files()


@pytest.mark.parametrize("path", modules("codecs"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_codecs_know_neither_the_pipeline_nor_its_libraries(path: Path) -> None:
    forbidden = ("haarchive.pipeline", "haarchive.configs", "ray", "obstore", "pyarrow", "tifffile", "zarr")
    assert [name for name in imports(path) if belongs(name, *forbidden)] == []


def test_configs_know_nothing_else_of_the_package() -> None:
    names = [name for path in modules("configs") for name in imports(path)]
    assert [name for name in names if belongs(name, "haarchive.pipeline", "haarchive.codecs")] == []
