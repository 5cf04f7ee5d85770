"""What works on this machine, what is missing, and how to mend it.

Every check tries the thing itself: a package is imported, an array is written and read, a window is opened in a
process of its own (a missing library makes Qt abort). The main job is to import, fit and predict without a screen;
what it needs is essential.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal

from napari_pixelgene.progress import OnEvent, silent, track

DISTRIBUTION = "napari-pixelgene"
_LEAST_PYTHON = (3, 11)
_LEAST_FREE_GB = 5
# What a broken installation raises when it is imported or first used.
_BREAKAGES = (ImportError, OSError, RuntimeError, ValueError, AttributeError, TypeError)
# Names to import by, where they differ from the distribution's.
_MODULES = {
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "opencv-python-headless": "cv2",
    "huggingface-hub": "huggingface_hub",
    "openslide-python": "openslide",
    "openslide-bin": "openslide_bin",
    "dask-jobqueue": "dask_jobqueue",
    "pyside6": "PySide6",
}
# Installed with the engine, but importable only where there is a Qt binding.
_SCREEN = ("qtpy", "superqt", "magicgui")
_WINDOW = "from qtpy.QtWidgets import QApplication; app = QApplication([]); from qtpy import API_NAME; print(API_NAME)"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `missing` costs something optional, `broken` is installed or needed and fails."""

    name: str
    state: Literal["works", "missing", "broken"]
    said: str
    mend: str = ""
    essential: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def examine(on_event: OnEvent = silent, weights: bool = False) -> list[Finding]:
    """All findings, essential ones first. With `weights` also every encoder's files, opened and held against it."""
    checks: list[Callable[[], Finding | Iterator[Finding]]] = [
        python, packages, torch_works, store_works, images_work, disk, gpu, encoders, extras, window
    ]  # fmt: skip
    if weights:
        checks.append(weights_fit)
    found: list[Finding] = []
    for check in track(checks, "doctor", on_event):
        result = check()
        found.extend([result] if isinstance(result, Finding) else result)
    return sorted(found, key=lambda f: not f.essential)


def python() -> Finding:
    """Is Python new enough?"""
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    if sys.version_info[:2] >= _LEAST_PYTHON:
        return Finding("python", "works", said, essential=True)
    return Finding("python", "broken", said, "Install Python 3.11 or newer.", True)


def packages() -> Iterator[Finding]:
    """Is every package the engine asks for there, new enough and importable?"""
    wanted = [need for need in _requirements(lambda marker: "extra" not in marker) if need[0] not in _SCREEN]
    faults = [(*fault, specifier) for name, specifier in wanted if (fault := _fault(name, specifier))]
    for name, why, specifier in faults:
        yield Finding(name, "broken", why, f'pip install "{name}{specifier}"', True)
    if not faults:
        yield Finding("packages", "works", f"{len(wanted)} packages are there and can be imported", essential=True)


def extras() -> Iterator[Finding]:
    """Which optional packages are there?"""
    for extra in ("encoders", "slides", "spatialdata", "cluster"):
        wanted = _requirements(lambda marker, e=extra: f'"{e}"' in marker.replace("'", '"'))  # type: ignore[misc]
        faults = [fault for name, specifier in wanted if (fault := _fault(name, specifier))]
        if not faults:
            yield Finding(extra, "works", f"{', '.join(name for name, _ in wanted)} can be imported")
        else:
            state: Literal["missing", "broken"] = (
                "missing" if all(w == "not installed" for _, w in faults) else "broken"
            )
            said = "; ".join(f"{name}: {why}" for name, why in faults)
            mend = f'pip install "{DISTRIBUTION}[{extra}]"'
            if "torchvision" in said:
                from napari_pixelgene.encoders.named import torchvision_mismatch

                said, mend = torchvision_mismatch(RuntimeError(said))
                state, said = "missing", f"{said} Only encoders named timm: and hub: need it."
            yield Finding(extra, state, said, mend)


def torch_works() -> Finding:
    """Can torch learn on this processor?"""

    def learn() -> str:
        import torch

        x = torch.ones(2, requires_grad=True)
        (x * x).sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        return f"torch {torch.__version__} computes a gradient, threads: {torch.get_num_threads()}"

    return _tried("torch", learn, "pip install --force-reinstall torch")


def store_works() -> Finding:
    """Can a section be written and read?"""

    def write() -> str:
        from napari_pixelgene.store.section import SectionStore

        with tempfile.TemporaryDirectory() as folder:
            SectionStore.create(Path(folder) / "try.section.zarr").update_meta("mpp", 0.5)
            SectionStore.open(Path(folder) / "try.section.zarr").meta()
        return "a section is written and read"

    return _tried("store", write, "pip install --upgrade zarr anndata")


def images_work() -> Finding:
    """Can a compressed slide be read?"""

    def read() -> str:
        import numpy as np
        import tifffile

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "try.tif"
            tifffile.imwrite(
                path, np.zeros((64, 64, 3), np.uint8), tile=(32, 32), compression="jpeg", photometric="rgb"
            )
            tifffile.imread(path)
        return "a JPEG-compressed TIFF is written and read"

    return _tried("images", read, "pip install --upgrade tifffile imagecodecs")


def disk() -> Finding:
    """Is there room here?"""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    said = f"{free:.1f} GB free in this folder"
    if free >= _LEAST_FREE_GB:
        return Finding("disk", "works", said)
    return Finding("disk", "missing", said, "Sections with maps take a few GB: free some space, or work elsewhere.")


def gpu() -> Finding:
    """Is there a GPU that torch can use?"""
    try:
        import torch

        if torch.cuda.is_available():
            card = torch.cuda.get_device_properties(0)
            return Finding("GPU", "works", f"{card.name}, {card.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}")
        built = torch.version.cuda
    except _BREAKAGES as error:
        return Finding("GPU", "missing", f"torch cannot say: {error}", "Mend torch first.")
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", "missing", "none; everything runs on the processor, training some ten times slower")
    why = f"torch is built for CUDA {built}, which the driver refuses" if built else "torch is built without CUDA"
    return Finding("GPU", "missing", f"there is one, but {why}", "Install the torch of pytorch.org for your driver.")


def encoders() -> Iterator[Finding]:
    """Which histology networks are ready?"""
    try:
        from napari_pixelgene.encoders.registry import available_encoders, encoder_status

        found = [encoder_status(name) for name in available_encoders()]
    except _BREAKAGES as error:
        yield Finding("encoders", "broken", _why(error), "Mend the packages above first.", True)
        return
    for status in found:
        if status.state == "ready":
            essential = status.name == "stain_texture"
            yield Finding(f"encoder {status.name}", "works", "ready", essential=essential)
    lacking = [status.name for status in found if status.state != "ready"]
    if lacking:
        said = f"not on this machine for {', '.join(lacking)}"
        yield Finding("weights", "missing", said, "How to get them: pixelgene encoders.")


def weights_fit() -> Iterator[Finding]:
    """Which encoders' weights are here, and are what they should be?"""
    from napari_pixelgene.encoders.registry import available_encoders, encoder_status, get_encoder
    from napari_pixelgene.encoders.weights import locate_all, require_all
    from napari_pixelgene.errors import InputError

    for name in available_encoders():
        encoder, status = get_encoder(name), encoder_status(name)
        if not encoder.weights:
            continue
        if status.state != "ready":
            yield Finding(f"weights of {name}", "missing", f"{status.why} Licence: {encoder.license}.", status.mend)
            continue
        files = require_all(encoder, locate_all(encoder))
        try:
            encoder.check(files)
        except InputError as error:
            yield Finding(f"weights of {name}", "broken", error.problem, error.mend)
        else:
            places = ", ".join(map(str, files.values()))
            yield Finding(f"weights of {name}", "works", f"{places} fits. Licence: {encoder.license}.")


def window() -> Finding:
    """Does napari with Qt open a window here?"""
    for name in ("napari", "qtpy"):
        if (fault := _fault(name, "")) is not None:
            return Finding("window", "missing", f"{name}: {fault[1]}", f'pip install "{DISTRIBUTION}[gui]"')
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        said = f"no screen here ({_try_window('offscreen')})"
        return Finding("window", "missing", said, "Run napari on a machine with a screen, or under xvfb-run.")
    answer = _try_window(None)
    if not answer.startswith("Qt fails"):
        return Finding("window", "works", answer)
    mend = f'pip install "{DISTRIBUTION}[gui]"; on Debian or Ubuntu also scripts/system_libs.sh of the sources.'
    return Finding("window", "broken", answer, mend)


def _try_window(platform_plugin: str | None) -> str:
    """Which binding makes an application, or the last line of what it said when it failed."""
    environment = dict(os.environ) | ({"QT_QPA_PLATFORM": platform_plugin} if platform_plugin else {})
    try:
        done = subprocess.run(
            [sys.executable, "-c", _WINDOW], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "Qt fails: no answer within a minute"
    if done.returncode == 0:
        return f"{done.stdout.strip()} makes an application"
    return f"Qt fails: {(done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1]}"


def _tried(name: str, work: Callable[[], str], mend: str) -> Finding:
    """An essential thing, done once."""
    try:
        return Finding(name, "works", work(), essential=True)
    except _BREAKAGES as error:
        return Finding(name, "broken", _why(error), mend, True)


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _requirements(wanted: Callable[[str], bool]) -> list[tuple[str, str]]:
    """(name, version specifier) of the requirements whose marker is wanted and that hold on this Python."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    out = []
    for line in lines:
        need = Requirement(line)
        marker = str(need.marker or "")
        if wanted(marker) and (need.marker is None or "extra" in marker or need.marker.evaluate()):
            out.append((need.name.lower(), str(need.specifier)))
    return [item for item in out if item[0] != DISTRIBUTION]


def _fault(name: str, specifier: str) -> tuple[str, str] | None:
    """What is wrong with a package, or None."""
    from packaging.specifiers import SpecifierSet

    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return name, "not installed"
    if not SpecifierSet(specifier).contains(version, prereleases=True):
        return name, f"version {version}, needed {specifier}"
    try:
        import_module(_MODULES.get(name, name.replace("-", "_")))
    except _BREAKAGES as error:
        return name, _why(error)
    return None
