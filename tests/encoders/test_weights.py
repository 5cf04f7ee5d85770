"""Weights: where they are looked for, what is read, what is refused and how it is said; nothing is fetched unasked."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from napari_pixelgene.encoders import weights
from napari_pixelgene.encoders.base import WeightFile
from napari_pixelgene.encoders.hipt import Hipt
from napari_pixelgene.encoders.network import build
from napari_pixelgene.encoders.registry import available_encoders, encoder_status, get_encoder, register_encoder
from napari_pixelgene.encoders.vit import Uni
from napari_pixelgene.encoders.weights import (
    fit_state,
    load_network,
    locate_all,
    read_state,
    require_all,
    weights_folder,
)
from napari_pixelgene.errors import InputError, MissingDependency, SettingsError
from tiny_vits import TinyHipt, TinyUni, made_state, write_weights

STATE = made_state(TinyUni.shape)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights: neither in the user's data nor in the hub's cache."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("platformdirs.user_data_path", lambda *a, **k: tmp_path / "data" / "napari-pixelgene")
    monkeypatch.setattr(weights, "_in_hub_cache", lambda file: None)
    return tmp_path / "data" / "napari-pixelgene" / "weights"


def load(path: Path) -> Any:
    return load_network(build(TinyUni.shape), path, "tiny-uni")


def same(network: Any) -> bool:
    state = network.state_dict()
    return state.keys() == STATE.keys() and all(torch.equal(state[k], STATE[k]) for k in STATE)


WRAPPED: dict[str, Any] = {
    "plain": STATE,
    "dino": {"teacher": {f"module.backbone.{k}": v for k, v in STATE.items()}, "student": {"x": torch.ones(1)}},
    "dinov2": {"teacher": {f"backbone.{k}": v for k, v in STATE.items()} | {"dino_head.mlp.0.weight": torch.ones(2)}},
    "flat": {f"teacher.{k}": v for k, v in STATE.items()} | {f"student.{k}": v * 0 for k, v in STATE.items()},
    "compiled": {"state_dict": {f"_orig_mod.model.{k}": v for k, v in STATE.items()}, "epoch": 3},
    "head": STATE | {"head.weight": torch.ones(5, 24), "head.bias": torch.ones(5), "mask_token": torch.ones(1, 24)},
    "options": {"model": STATE, "args": argparse.Namespace(lr=0.1), "epoch": 100},
}


@pytest.mark.parametrize("how", WRAPPED)
def test_a_checkpoint_is_read_however_it_is_wrapped(how: str, tmp_path: Path) -> None:
    torch.save(WRAPPED[how], tmp_path / "a.pth")
    assert same(load(tmp_path / "a.pth"))
    torch.save(WRAPPED[how], tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(load(tmp_path / "old.pth"))


def test_half_precision_is_widened_and_nothing_learns(tmp_path: Path) -> None:
    save_file({k: v.half() for k, v in STATE.items()}, tmp_path / "a.safetensors")
    network = load(tmp_path / "a.safetensors")
    assert {p.dtype for p in network.parameters()} == {torch.float32} and not network.training
    assert not any(p.requires_grad for p in network.parameters())


def without(name: str) -> dict[str, torch.Tensor]:
    return {k: v for k, v in STATE.items() if k != name}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (without("blocks.0.ls1.gamma"), r"lacks 'blocks\.0\.ls1\.gamma'"),
        (STATE | {"blocks.0.attn.qkv.weight": torch.ones(3, 24)}, r"qkv\.weight' has shape \(3, 24\), not \(72, 24\)"),
        (STATE | {"blocks.1.norm1.weight": torch.ones(24)}, r"nothing in it is called 'blocks\.1\.norm1\.weight'"),
        (STATE | {"reg_token": torch.ones(1, 4, 24)}, "nothing in it is called 'reg_token'"),
        ({"conv1.weight": torch.ones(3)}, "lacks 'cls_token'"),
    ],
)
def test_the_first_wrong_array_is_named(state: Any, said: str, tmp_path: Path) -> None:
    save_file(state, tmp_path / "wrong.safetensors")
    with pytest.raises(InputError, match=rf"wrong\.safetensors.*'tiny-uni'.*{said}"):
        load(tmp_path / "wrong.safetensors")


def test_a_file_that_could_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (print, ("it ran",))

    torch.save({"model": STATE, "trap": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(InputError, match="holds more than arrays"):
        read_state(tmp_path / "trap.pth")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "pointer of Git LFS"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        ("a.safetensors", b"\x00" * 40, "cannot be read"),
        ("a.pth", b"PK\x03\x04 broken", "cannot be read"),
        ("a.bin", b"<html>not found</html>", "a.bin"),
    ],
)
def test_what_is_no_file_of_weights_is_told(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_state(tmp_path / name)
    with pytest.raises(InputError, match="There is no file"):
        read_state(tmp_path / "gone.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(InputError, match="no arrays by name"):
        read_state(tmp_path / "empty.pth")


def test_where_weights_are_looked_for(own_folders: Path, tmp_path: Path) -> None:
    """Where a person points, then a folder of the encoder's own, then by name in the folder of weights."""
    uni = Uni()
    assert weights_folder() == own_folders and locate_all(uni) == {"weights": None}
    own_folders.mkdir(parents=True)
    save_file(STATE, own_folders / "uni.safetensors")
    assert locate_all(uni) == {"weights": own_folders / "uni.safetensors"}
    (own_folders / "uni").mkdir()
    save_file(STATE, own_folders / "uni" / "pytorch_model.bin")
    assert locate_all(uni) == {"weights": own_folders / "uni" / "pytorch_model.bin"}
    given = tmp_path / "my weights.pth"
    torch.save(STATE, given)
    assert locate_all(uni, given) == {"weights": given}
    with pytest.raises(InputError, match="There is no file"):
        locate_all(uni, tmp_path / "gone.pth")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no weights of 'uni'"):
        locate_all(uni, tmp_path / "empty")


def test_two_files_of_one_encoder(own_folders: Path, tmp_path: Path) -> None:
    files = write_weights(TinyHipt(), tmp_path / "a")
    assert locate_all(TinyHipt(), tmp_path / "a") == files == locate_all(TinyHipt(), files["vit256"])
    assert locate_all(Hipt(), tmp_path / "a").keys() == {"vit256", "vit4k"}
    files["vit4k"].unlink()
    found = locate_all(TinyHipt(), tmp_path / "a")
    with pytest.raises(MissingDependency, match=r"\(vit4k_xs_dino\) of 'tiny-hipt' are not on this machine"):
        require_all(TinyHipt(), found)


def test_what_is_missing_says_how_to_get_it(own_folders: Path) -> None:
    for name in available_encoders():
        status = encoder_status(name)
        if name == "stain_texture":
            assert status.state == "ready" and not status.short
            continue
        assert (status.state, status.short) == ("weights", "needs weights")
        assert (
            f"of '{name}'" in status.why
            and str(own_folders / ("hipt" if name.startswith("hipt") else name)) in status.mend
            and "--weights" in status.mend
        )
        assert ("hf auth login" in status.mend) == (not name.startswith("hipt"))
    own_folders.mkdir(parents=True)
    save_file(STATE, own_folders / "uni.safetensors")
    assert encoder_status("uni").state == "ready"


def test_nothing_is_fetched_unless_a_person_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        if name == "model.safetensors":
            raise huggingface_hub.errors.EntryNotFoundError("no such file")
        return str(tmp_path / name)

    huggingface_hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    uni = Uni()
    with pytest.raises(MissingDependency, match="accept its terms there, and put them"):
        require_all(uni, locate_all(uni))
    assert asked == []
    assert require_all(uni, locate_all(uni), may_download=True) == {"weights": tmp_path / "pytorch_model.bin"}
    assert asked == [("MahmoodLab/UNI", "model.safetensors"), ("MahmoodLab/UNI", "pytorch_model.bin")]
    with pytest.raises(MissingDependency, match="HIPT"):  # it is on no hub
        require_all(Hipt(), locate_all(Hipt()), may_download=True)


def test_a_hub_that_refuses_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    gated, away = (getattr(errors, name) for name in ("GatedRepoError", "LocalEntryNotFoundError"))
    for error, said in (
        (gated.__new__(gated), "terms are not accepted, or nobody is logged in"),
        (OSError("no route"), "could not be fetched: no route"),
        (away("offline"), "could not be fetched: offline"),
    ):

        def refuse(repository: str, name: str, error: Exception = error) -> str:
            raise error

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
        with pytest.raises(MissingDependency, match=said):
            require_all(Uni(), {"weights": None}, may_download=True)


def test_names_are_told_with_their_neighbours() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'uni2-h'"):
        get_encoder("uni2h")
    register_encoder("outside", "tiny_vits:TinyUni")
    assert get_encoder("outside").name == "tiny-uni"
    from napari_pixelgene.encoders.registry import _ENCODERS

    del _ENCODERS["outside"]


def test_prefixes_go_only_while_that_helps() -> None:
    network = build(TinyUni.shape)
    odd = {f"module.visual.trunk.{k}": v for k, v in STATE.items()}
    assert fit_state(network, odd, Path("a"), "x").keys() == STATE.keys()
    assert WeightFile("weights", ("a",), "nowhere").hub == ""
