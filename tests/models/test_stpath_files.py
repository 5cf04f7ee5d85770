"""STPath's two files and its lists of names: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from made_stpath import random_state, symbol_table, write_files
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError, MissingDependency, SettingsError
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.models.stpath.labels import ORGANS, TECHNOLOGIES, resolve_organ, resolve_technology
from napari_pixelgene.models.stpath.network import Sizes
from napari_pixelgene.models.stpath.settings import STPathSettings
from napari_pixelgene.models.stpath.vocabulary import read_vocabulary, require_human
from napari_pixelgene.models.stpath.weights import load, make_network, missing, read_weights
from napari_pixelgene.progress import Event, Note

SMALL = Sizes(12, 6, 16, 2, 4, 32)


def saved(tmp_path: Path, state: Any) -> Path:
    torch.save(state, tmp_path / "w.pth")
    return tmp_path / "w.pth"


# Weights


def test_weights_are_read_as_they_are(tmp_path: Path) -> None:
    state = random_state(SMALL)
    half = {name: tensor.to(torch.float16) for name, tensor in state.items()}
    found, sizes = read_weights(saved(tmp_path, half), released=False)
    assert sizes == SMALL and list(found) == list(state)
    assert all(found[name].dtype == torch.float32 for name in found)
    network = make_network(found, sizes)
    torch.testing.assert_close(network.model.blks[1].mlp.fc2.weight, half["model.blks.1.mlp.fc2.weight"].float())
    assert not network.training


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("model.blks.1.mlp.norm.bias"), "it has no tensor 'model.blks.1.mlp.norm.bias'"),
        (lambda s: s.update({"model.blks.0.mlp.fc2.weight": torch.zeros(16, 31)}),
         r"'model.blks.0.mlp.fc2.weight' has shape \(16, 31\), expected \(16, 32\)"),
        (lambda s: s.update({"gene_exp_head.1.bias": torch.zeros(11)}), r"'gene_exp_head.1.bias' has shape \(11,\)"),
        (lambda s: s.update({"decoder.weight": torch.zeros(1)}), "it also has 'decoder.weight'"),
        (lambda s: s["model.blks.0.attn.edge_bias.0.weight"].fill_(np.nan), "edge_bias.0.weight' holds values"),
        (lambda s: s.update({"gene_exp_head.0.bias": torch.zeros(16, dtype=torch.int64)}), "holds torch.int64"),
        (lambda s: s.pop("input_encoder.gene_embed.weight"), "it has no tensor 'input_encoder.gene_embed.weight'"),
    ],
)  # fmt: skip
def test_the_first_tensor_that_differs_is_named(change: Any, says: str, tmp_path: Path) -> None:
    state = random_state(SMALL)
    change(state)
    with pytest.raises(InputError, match=says):
        read_weights(saved(tmp_path, state), released=False)


def test_another_size_is_not_taken_for_the_released_network(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"'input_encoder.image_embed.weight' has shape \(16, 6\), expected \(512, 1536\)"
    ):
        read_weights(saved(tmp_path, random_state(SMALL)))


class Harmful:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_a_file_is_never_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stpath.pkl"
    path.write_bytes(pickle.dumps({"a": Harmful()}))
    with pytest.raises(InputError, match=r"stpath\.pkl cannot be read as PyTorch tensors alone"):
        read_weights(path, released=False)
    torch.save({"state_dict": Harmful()}, path)
    with pytest.raises(InputError, match="cannot be read as PyTorch tensors alone"):
        read_weights(path, released=False)
    assert "run" not in capsys.readouterr().out
    torch.save({"epoch": 3, "model": {"a": torch.zeros(1)}}, path)
    with pytest.raises(InputError, match="is no state dict"):
        read_weights(path, released=False)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(path, released=False)
    with pytest.raises(InputError, match=r"There are no STPath weights .*gone\.pth\. Get stfm\.pth from"):
        read_weights(tmp_path / "gone.pth")


def test_files_are_found_on_this_machine_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_files(tmp_path / "a")
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    bare = STPathSettings(released=False)
    assert "Not on this machine: STPath's weights and vocabulary." in missing(bare)
    assert get_model("stpath").missing() == missing(STPathSettings())
    with pytest.raises(MissingDependency, match="Not on this machine: STPath's weights"):
        load(bare)
    (tmp_path / "data" / "weights").mkdir(parents=True)
    Path(made["weights"]).rename(tmp_path / "data" / "weights" / "stpath.pkl")
    assert "STPath's vocabulary." in missing(bare)
    settings = STPathSettings(vocabulary=Path(made["vocabulary"]), released=False)
    assert missing(settings) == ""
    assert load(settings).weights_path == tmp_path / "data" / "weights" / "stpath.pkl"
    gone = settings.replace(vocabulary=tmp_path / "gone.json")
    assert "STPath's vocabulary." in missing(gone) and "STPath's vocabulary." in missing(gone.replace(download=True))


def test_nothing_is_fetched_but_when_a_person_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_files(tmp_path / "hub")
    asked: list[tuple[str, str]] = []

    def fetched(repository: str, name: str) -> str:
        asked.append((repository, name))
        return str(made["weights" if name.endswith(".pth") else "vocabulary"])

    hub = ModuleType("huggingface_hub")
    hub.hf_hub_download, hub.try_to_load_from_cache = fetched, lambda *_: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "data")
    with pytest.raises(MissingDependency):
        load(STPathSettings(released=False))
    assert asked == []
    notes: list[Event] = []
    assert missing(STPathSettings(download=True)) == ""
    assert load(STPathSettings(released=False, download=True), notes.append).sizes.genes == 32
    assert asked == [
        ("tlhuang/STPath", "stfm.pth"),
        ("RendeiroLab/LazySlide-models", "STPath/symbol2ensembl.json"),
    ]
    assert "Fetching stfm.pth from Hugging Face (tlhuang/STPath)." in [n.text for n in notes if isinstance(n, Note)]

    def refused(*_: Any) -> str:
        raise OSError("no route to host\nand more")

    hub.hf_hub_download = refused  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"stfm\.pth could not be fetched .*: no route to host Check the connection"):
        load(STPathSettings(released=False, download=True))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependency, match=r"needs the package huggingface_hub\. Install it: pip install"):
        load(STPathSettings(released=False, download=True))


# Vocabulary


def vocabulary(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "symbol2ensembl.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_vocabulary_of_another_release_is_refused(tmp_path: Path) -> None:
    many = {f"S{i}": f"ENSG{i:011d}" for i in range(38_981)}
    with pytest.raises(InputError, match="has 38,981 distinct Ensembl ids, STPath was trained with 38,982"):
        read_vocabulary(vocabulary(tmp_path, many))
    many |= {"ALIAS": many["S5"], "LAST": f"ENSG{38_981:011d}"}
    assert len(read_vocabulary(vocabulary(tmp_path, many))) == 38_984
    for content, says in [
        ("{", "is not valid JSON"),
        ([], "is no object of symbols and Ensembl ids"),
        ({"A": 3}, "is no object of symbols and Ensembl ids"),
        ({"A": "TP53"}, "has 'A': 'TP53', which is no Ensembl gene id"),
    ]:
        with pytest.raises(InputError, match=says):
            read_vocabulary(vocabulary(tmp_path, content), released=False)
    with pytest.raises(InputError, match="There is no gene vocabulary"):
        read_vocabulary(tmp_path / "gone.json")


def test_weights_and_vocabulary_must_belong_together(tmp_path: Path) -> None:
    made = write_files(tmp_path / "a")
    other = vocabulary(tmp_path, symbol_table(29))
    settings = STPathSettings(weights=made["weights"], vocabulary=other, released=False)
    with pytest.raises(InputError, match=r"gives 31 genes, padding and mask included; the weights stfm\.pth have 32"):
        load(settings)


@pytest.mark.parametrize(
    ("genes", "species"),
    [
        (GeneTable(("Actb", "Gapdh", "mt-Nd1", "Cd3e", "1700001C02Rik", "TP53")), "mouse"),
        (GeneTable(tuple("ABCDEF"), tuple(f"ENSMUSG{i:011d}" for i in range(6))), "mouse"),
        (GeneTable(tuple("ABCDEF"), tuple(f"ENSRNOG{i:011d}.2" for i in range(6))), r"another species \(ENSRNOG\)"),
    ],
)
def test_other_species_are_refused_in_words(genes: GeneTable, species: str) -> None:
    with pytest.raises(InputError, match=rf"The genes of B1 look like {species} \(.*STPath knows human genes only"):
        require_human(genes, "B1")


@pytest.mark.parametrize(
    "genes",
    [
        GeneTable(("ACTB", "GAPDH", "MT-ND1", "HLA-A", "C1orf112", "C19orf48", "C6orf62", "LINC00115")),
        GeneTable(tuple("abcdef"), tuple(f"ENSG{i:011d}.1" for i in range(6))),
        GeneTable(("Actb", "Gapdh")),
        GeneTable(("1", "2", "3", "4", "5", "6")),
    ],
)
def test_what_may_be_human_passes(genes: GeneTable) -> None:
    require_human(genes, "B1")


# Names


def test_names_are_resolved_whatever_their_case_and_what_was_bent_is_said() -> None:
    notes: list[Event] = []
    assert [resolve_organ(n, notes.append) for n in ("Kidney", "kidney", "LYMPH NODE", "Ovary", None, "Others")] == [
        ORGANS.index(n) for n in ("Kidney", "Kidney", "Others", "Ovary", "unknown", "Others")
    ]
    assert [resolve_technology(n, notes.append) for n in ("Visium", "visiumhd", "ST", "legacy st")] == [2, 4, 1, 1]
    said = [(n.level, n.text) for n in notes if isinstance(n, Note)]
    assert said == [
        ("warning", "The organ 'kidney' is taken for 'Kidney'."),
        ("warning", "The organ 'LYMPH NODE' is taken for 'Others'."),
        ("warning", "The technology 'visiumhd' is taken for 'Visium HD'."),
        ("warning", "The technology 'ST' is taken for 'Spatial Transcriptomics'."),
        ("warning", "The technology 'legacy st' is taken for 'Spatial Transcriptomics'."),
    ]
    notes.clear()
    assert resolve_organ("Spleen", notes.append) == 0 and resolve_technology("CosMx", notes.append) == 0
    assert (
        isinstance(notes[0], Note)
        and "no organ named 'Spleen'. It is left out, as if none were given." in notes[0].text
    )


def test_settings_take_names_in_any_case_and_refuse_others() -> None:
    settings = STPathSettings.make({"organ": "bowel", "technology": "VISIUM"})
    assert (settings.organ, settings.technology) == ("Bowel", "Visium") and TECHNOLOGIES[0] == "unknown"
    for wrong in ({"organ": "Spleen"}, {"technology": "CosMx"}, {"pitch_um": 60}, {"context": "file:"}):
        with pytest.raises(SettingsError, match=f"stpath.{next(iter(wrong))}"):
            STPathSettings.make(wrong, where="stpath")
    assert STPathSettings().leans and not STPathSettings(context="none").leans
