"""What a run learns from: captures with their counts and features, the genes, and who learns, stops and is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_pixelgene.encoders.registry import get_encoder
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.models.base import Context, Model, TrainingData
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.pipeline import points
from napari_pixelgene.pipeline.beforehand import require_genes, require_same_squares, superpixel_um
from napari_pixelgene.pipeline.choosing import Chosen, choose_captures
from napari_pixelgene.pipeline.encoding import require_ready
from napari_pixelgene.pipeline.measured import Measured
from napari_pixelgene.pipeline.model_sections import choose, features_input, seen_by_model
from napari_pixelgene.pipeline.prepared import FitSettings, Prepared
from napari_pixelgene.pipeline.preparing import counts_inputs, region_hash
from napari_pixelgene.pipeline.quality import without_few_counts
from napari_pixelgene.pipeline.slide import grid_of
from napari_pixelgene.pipeline.training_data import joined_sections, measured_units, take_units, within_region
from napari_pixelgene.pipeline.trust import tell_distrusted
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.stages.folds import deal_blocks, members, sees
from napari_pixelgene.store import provenance
from napari_pixelgene.store.section import SectionStore

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.elements.tissue import MemberPlan
    from napari_pixelgene.models.base import Needs

TRAINING = "training"


@dataclass(frozen=True, slots=True)
class Take:
    """What becomes of the measured units before anything is learned from them: some are held out, or others are made
    of them. `key` tells runs apart that take otherwise."""

    key: str
    change: Callable[[list[Measured]], list[Measured]]


def choose_device(asked: str) -> str:
    """The device to work on; asking for a GPU that is not there is an error."""
    import torch  # takes seconds: an import of data, and the form of the settings, do without

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(
            f"There is no GPU for '{asked}'.", "Use --device cpu or auto; `pixelgene doctor` tells more."
        )
    return asked


def prepare_fit(
    stores: Sequence[SectionStore],
    settings: FitSettings,
    kind: Literal["fit", "cross"] = "fit",
    on_event: OnEvent = silent,
    apart: Sequence[Measured] = (),
    take: Take | None = None,
) -> Prepared:
    """Everything up to the first step: tissue, features, counts, genes, folds, each made once.

    `apart` are captures that are going to be scored: on their slide they are not learned from, nor are units of other
    captures that see their area. `take` changes what is learned from.
    """
    if len({s.path.resolve() for s in stores}) < len(stores):
        raise SettingsError("A section is named twice among the training sections.", "Name each once.")
    model = get_model(settings.model, settings.model_settings)  # a wrong setting is told before hours are spent
    at_points = points.is_at_points(model)
    if not (at_points and settings.genes == points.VOCABULARY):
        require_genes(settings.genes)
    if kind == "fit" and not model.needs.training and not any(store.captures() for store in stores):
        device = choose_device(settings.device)
        return points.prepare_unmeasured(stores, settings, model, choose, on_event, device)
    chosen = chosen_to_learn(stores, settings, apart, on_event)
    for store in stores:
        require_same_squares(store, superpixel_um(stores[0]))
        tell_distrusted(store, TRAINING, on_event)
    if at_points:
        points.require(model, stores, settings.features, on_event)
    else:
        check_needs(model)
        require_ready(stores, settings.features)
    device = choose_device(settings.device)
    measured = [within_region(measured_units(c.store, n, on_event), on_event) for c in chosen for n in c.captures]
    measured = take.change(measured) if take is not None else measured
    measured = [points.as_spots(m, on_event) for m in measured] if at_points else measured
    _require_lattices(model, measured)
    reach = _reach_um(settings, measured, model.needs)
    measured = _kept_apart(measured, apart, reach, on_event)
    chosen = _still(chosen, measured)
    if kind == "fit":  # a cross-validation scores every unit, also those it did not learn from
        measured = _at_most(measured, settings, on_event)
    _tell_common(measured, on_event)
    seen: points.Seen = "scored" if kind == "cross" else "learned" if model.needs.training or apart else "not"
    view = seen_by_model(measured, stores, model, settings, seen, (on_event, device))
    measured, genes = view.measured, view.genes
    if kind == "fit" and not model.needs.training:
        plan = points.all_learned_from(measured)
    else:
        plan = _dealt(measured, settings, kind, reach)
    if kind == "cross":
        plan = _thinned(plan, settings, on_event)
    plan = without_few_counts(plan, view.sections, settings.quality, on_event)
    data = TrainingData(view.sections, genes, view.channels, plan.fit, plan.stop, settings.seed, device)
    fingerprint = _fingerprint(chosen, settings, genes, kind, apart, model)
    fingerprint = fingerprint if take is None else provenance.fingerprint({"take": take.key}, {"else": fingerprint})
    return Prepared(chosen, tuple(measured), view.features, genes, data, plan, model, fingerprint, kind, tuple(apart))


def chosen_to_learn(
    stores: Sequence[SectionStore], settings: FitSettings, apart: Sequence[Measured] = (), on_event: OnEvent = silent
) -> tuple[Chosen, ...]:
    """The captures that a run learns from, as the settings say; never one that is kept apart to be scored."""
    scored = {(m.store.path.resolve(), m.capture): m for m in apart}
    chosen = choose_captures(stores, settings.captures, settings.without_captures, on_event, TRAINING)
    out = []
    for each in chosen:
        path = each.store.path.resolve()
        both = [scored[path, c].name for c in each.captures if (path, c) in scored]
        if both and settings.captures:
            raise SettingsError(f"{both[0]} is named to train on and to test on.", "Name it once.")
        kept = tuple(c for c in each.captures if (path, c) not in scored)
        if not kept:
            raise SettingsError(
                f"No capture of {each.store.path.name} is left to train on.", "Test on fewer of its captures."
            )
        out.append(replace(each, captures=kept))
    return tuple(out)


def learned_context(prepared: Prepared, store: SectionStore) -> Context | None:
    """What a model that leans on measured units may see of a slide it is scored on: all that was learned from there, by
    whatever capture, each member its own units; never what scores it. None where nothing was, or it asks for none."""
    if not prepared.model.needs.context_counts:
        return None
    mine = [m.store.path.resolve() == store.path.resolve() for m in prepared.measured]
    if not any(mine):
        return None
    own = np.repeat(mine, [len(m) for m in prepared.measured])
    sections = [s for s, is_mine in zip(prepared.data.sections, mine, strict=True) if is_mine]
    return Context(joined_sections(sections), (prepared.plan.fit | prepared.plan.stop)[:, own])


def check_needs(model: Model) -> None:
    """Refuse, before hours are spent, a model that needs what the pipeline cannot give it yet."""
    needs = model.needs
    missing = {"a fixed vocabulary of genes for superpixels": needs.gene_space != "fitted"}
    asked = [what for what, is_missing in missing.items() if is_missing]
    if asked:
        raise SettingsError(f"The model '{model.name}' needs {', '.join(asked)}.", "The pipeline cannot give that yet.")


def _require_lattices(model: Model, measured: Sequence[Measured]) -> None:
    """Refuse units without a place on an array, for a model that needs one."""
    without = [m.name for m in measured if m.lattice is None]
    if model.needs.lattice and without:
        raise InputError(
            f"The units of {without[0]} have no places on an array, which this recipe of '{model.name}' needs.",
            "Import the section again where its files tell them (legacy ST, Visium), or use another recipe.",
        )


def reach_um(encoder: str, work_mpp: float, needs: Needs, measured: Measured) -> float:
    """How far from its centre a unit sees: half the widest window, the model's halo, and half its footprint."""
    if needs.features == "points":
        window = points.REACH_UM
    else:
        window = get_encoder(encoder).reach_px * work_mpp + needs.halo * measured.superpixel_um
    return window + measured.footprint.size_um / 2


def _reach_um(settings: FitSettings, measured: Sequence[Measured], needs: Needs) -> float:
    """That of the unit that sees farthest."""
    encoder = settings.features.encoder
    return max(reach_um(encoder, grid_of(m.store).work_mpp, needs, m) for m in measured)


def _kept_apart(measured: list[Measured], apart: Sequence[Measured], reach: float, on_event: OnEvent) -> list[Measured]:
    """Units whose window, `reach` to either side of their centre, lies over a unit that is scored are left out."""
    out = []
    for m in measured:
        scored = [a for a in apart if a.store.path.resolve() == m.store.path.resolve()]
        seen = np.zeros(len(m), dtype=bool)
        for a in scored:
            seen |= sees(m.xy_um, reach, a.xy_um, a.footprint.size_um / 2)
        if seen.any():
            text = f"{m.name}: {int(seen.sum()):,} of {len(m):,} units see the area of a scored capture and are not "
            on_event(Note(f"{text}learned from.", stage=TRAINING))
        if not seen.all():
            out.append(take_units(m, np.flatnonzero(~seen)) if seen.any() else m)
    if not out:
        raise SettingsError(
            "Every unit to learn from lies in, or looks into, the area of a scored capture.",
            "Train on captures that lie elsewhere.",
        )
    return out


def _still(chosen: Sequence[Chosen], measured: Sequence[Measured]) -> tuple[Chosen, ...]:
    """What is learned from after all: captures of which units are left."""
    left = {(m.store.path, m.capture) for m in measured}
    return tuple(replace(c, captures=tuple(n for n in c.captures if (c.store.path, n) in left)) for c in chosen)


def _tell_common(measured: Sequence[Measured], on_event: OnEvent) -> None:
    """Which genes every capture lacks that others have; captures that share none are named."""
    common = set(measured[0].genes.symbols)
    for m in measured[1:]:
        left = common & set(m.genes.symbols)
        if not left:
            others = ", ".join(dict.fromkeys(o.name for o in measured if o is not m))
            raise InputError(
                f"{m.name} shares no gene with the other captures to train on ({others}).",
                f"Leave it out (--without-captures {m.capture}), or check that all name genes alike.",
            )
        common = left
    lost = {m.name: len(m.genes) - len(common) for m in measured if len(m.genes) > len(common)}
    if lost:
        each = ", ".join(f"{name} loses {n:,}" for name, n in lost.items())
        text = f"{len(common):,} genes were measured by all {len(measured)} captures; {each}."
        on_event(Note(f"{text} A capture that lacks many can be left out (--without-captures).", stage=TRAINING))


def _at_most(measured: list[Measured], settings: FitSettings, on_event: OnEvent) -> list[Measured]:
    """Draw units at random where there are more than a person wants to learn from, and say so."""
    total = sum(len(m) for m in measured)
    if total <= settings.max_units:
        return measured
    _tell_drawn(settings.max_units, total, on_event)
    rng = np.random.default_rng([settings.seed, 3])
    share = settings.max_units / total
    return [take_units(m, np.sort(rng.choice(len(m), max(1, int(share * len(m))), replace=False))) for m in measured]


def _thinned(plan: MemberPlan, settings: FitSettings, on_event: OnEvent) -> MemberPlan:
    """The plan with at most `max_units` units, drawn at random, to learn from and stop on; all are scored."""
    total = plan.fit.shape[1]
    if total <= settings.max_units:
        return plan
    drawn = np.zeros(total, dtype=bool)
    drawn[np.random.default_rng([settings.seed, 3]).choice(total, settings.max_units, replace=False)] = True
    _tell_drawn(settings.max_units, total, on_event)
    return type(plan)(plan.fit & drawn, plan.stop & drawn, plan.score)


def _tell_drawn(drawn: int, total: int, on_event: OnEvent) -> None:
    text = f"{drawn:,} of {total:,} units, drawn at random, are learned from (--max-units changes it)."
    on_event(Note(text, stage=TRAINING))


def _dealt(
    measured: Sequence[Measured], settings: FitSettings, kind: Literal["fit", "cross"], reach: float
) -> MemberPlan:
    """Blocks of every slide dealt to folds: captures on one slide share its blocks, each slide has an offset of its
    own."""
    f, plans = settings.folds, []
    for i, (_, group) in enumerate(groupby(measured, key=lambda m: m.store.path)):
        xy_um = np.concatenate([m.xy_um for m in group])
        folds = deal_blocks(xy_um, f.block_um, f.folds, settings.seed + i, f.partitions)
        plans.append(members(folds, kind, reach, xy_um))
    return _joined(plans)


def _joined(plans: Sequence[MemberPlan]) -> MemberPlan:
    def beside(name: str) -> BoolArray:
        return np.concatenate([getattr(p, name) for p in plans], axis=1)

    return type(plans[0])(beside("fit"), beside("stop"), beside("score"))


def _fingerprint(
    chosen: Sequence[Chosen],
    settings: FitSettings,
    genes: GeneTable,
    kind: str,
    apart: Sequence[Measured],
    model: Model,
) -> str:
    values = settings.model_dump() | {"features": settings.features.chosen()}
    for name in ("device", "captures", "without_captures"):  # another device makes the same run
        values.pop(name)
    inputs: dict[str, str] = {"kind": kind, "genes": ",".join(genes.symbols)}
    for i, each in enumerate(chosen):
        inputs[f"counts/{i}"] = provenance.fingerprint({}, counts_inputs(each.store, each.captures))
        inputs[f"region/{i}"] = region_hash(each.store)
        inputs[f"features/{i}"] = features_input(each.store, settings, model)
    for i, m in enumerate(apart):
        inputs[f"apart/{i}"] = provenance.fingerprint({}, counts_inputs(m.store, [m.capture]))
    return provenance.fingerprint(values, inputs | points.files_inputs(model))
