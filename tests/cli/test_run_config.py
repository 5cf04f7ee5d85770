"""The file of `pixelgene run`: what is left out is filled in, what is misspelt is named, what is written reads back."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_pixelgene.cli.main import main
from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline import running
from napari_pixelgene.pipeline.config import read_config, to_toml
from napari_pixelgene.pipeline.running import run_config
from napari_pixelgene.simulate.run import SimulatedRun

WHOLE = """
[[import]]
section = "A.section.zarr"
kind = "xenium"
he = "a/he.ome.tif"
bundle = "a/outs"

[[import]]
section = "B.section.zarr"
kind = "image"
he = 'b "c".svs'
mpp = 0.25

[[register]]
keypoints = "a/keypoints.csv"
kind = "affine"

[features]
patches = 9

[fit]
run = "first"
genes = "file:genes.txt"
[fit.model_settings]
hidden = 32
recipe = "original"

[predict]

[evaluate]
permutations = 7
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "flow.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_can_only_mean_one_thing_is_filled_in(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, WHOLE))
    a, b = tmp_path / "A.section.zarr", tmp_path / "B.section.zarr"
    assert config.register[0].section == a and config.register[0].keypoints == tmp_path / "a/keypoints.csv"
    assert config.fit is not None and config.fit.train == (a,) and config.fit.features.patches == 9
    assert config.fit.genes == f"file:{tmp_path / 'genes.txt'}"
    assert config.predict is not None and config.predict.sections == (a, b)
    assert (config.predict.run, config.predict.source) == ("first", a)
    assert config.evaluate is not None and config.evaluate.fit is not None
    assert config.evaluate.fit.model_settings == {"hidden": 32, "recipe": "original"}
    assert config.evaluate.permutations == 7


def test_the_effective_settings_read_back(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, WHOLE))
    (tmp_path / "elsewhere").mkdir()
    assert read_config(written(tmp_path / "elsewhere", to_toml(config.tables()))) == config


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("genes =", "gnes =", ("flow.toml", "'fit.gnes'", "'fit.genes'")),
        ("[predict]", "[perdict]", ("flow.toml", "'perdict'", "'predict'")),
        ("patches = 9", "patches = 0", ("flow.toml", "features.patches")),
        ("patches = 9", "patches = ", ("flow.toml", "line 19")),
        ('run = "first"\n', "", ("flow.toml", "fit.run")),
        ('kind = "image"', 'kind = "xenium"', ("flow.toml", "import.bundle")),
        ('kind = "image"', 'kind = "xenium"\nbundle = "b/outs"', ("flow.toml", "register.section")),
        ('kind = "image"', 'kind = "tiff"', ("flow.toml", "import.kind")),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, before: str, after: str, words: tuple[str, ...]) -> None:
    assert before in WHOLE
    with pytest.raises(PixelGeneError) as caught:
        read_config(written(tmp_path, WHOLE.replace(before, after, 1)))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_print_config_does_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(written(tmp_path, WHOLE)), "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert "block_um = 500.0" in printed and "patches = 9" in printed
    assert sorted(p.name for p in tmp_path.iterdir()) == ["flow.toml"]


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "no.toml")]) == 2
    assert "no.toml" in capsys.readouterr().err


def test_weights_lie_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(WHOLE.replace("patches = 9", 'encoder = "uni"\nweights = "w/uni.bin"'), "utf-8")
    config = read_config(tmp_path / "a.toml")
    assert config.features is not None and config.features.weights == tmp_path / "w" / "uni.bin"
    assert config.fit is not None and config.fit.features.weights == tmp_path / "w" / "uni.bin"
    (tmp_path / "b.toml").write_text(to_toml(config.tables()), encoding="utf-8")
    assert read_config(tmp_path / "b.toml") == config


def test_features_are_made_on_the_device_that_is_named(
    tmp_path: Path, small_run: SimulatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = f'[[import]]\nsection = "A.section.zarr"\nkind = "image"\nhe = "{small_run.he}"\n'
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr(running, "ensure_features", lambda _store, _settings, _on_event, device: asked.append(device))
    for said in ("", 'device = "cpu"', 'device = "cuda:1"'):
        run_config(read_config(written(tmp_path, f"{image}[features]\n{said}\n")))
    assert asked == ["cuda", "cpu", "cuda:1"]
