"""Features of every superpixel: an encoder over the slide, tile by tile, with halos; and vectors of points.

Tiles without tissue are skipped. A finished tile is written and marked before the next one, so that a
killed run continues; reading the next tile overlaps with encoding this one. An encoder that looks twice
(`ContextEncoder`) sees every tile first, then what the tiles around each were summed up to; pixels are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

import numpy as np
from pydantic import Field

from napari_pixelgene.arithmetic.resampling import work_pixels
from napari_pixelgene.arithmetic.smoothing import box_means
from napari_pixelgene.arithmetic.tiles import Span, Tile, tiles
from napari_pixelgene.elements.grid import SUPERPIXEL_PX
from napari_pixelgene.encoders.base import ContextEncoder, Tokens
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, LazyArray
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.encoders.base import Encoder

STAGE = "features"
# Interpolated pixels carry no texture of their own.
_COARSE_MPP = 1.0


class FeatureSettings(Section):
    """Which encoder, its weights, and how it looks."""

    encoder: str = Field(
        "stain_texture",
        description="The histology network, by name: see `pixelgene encoders`; also timm:NAME and hub:ORG/NAME.",
    )
    weights: Path | None = Field(
        None,
        description="File or folder of the encoder's weights; left out, they are looked for in the folder of weights.",
    )
    download: bool = Field(
        False, description="Fetch weights that are not here from the hub, as whoever is logged in there."
    )
    shifts: Literal[1, 2, 4] = Field(
        2,
        description="So many windows of a network see a place along each axis, and are averaged; 1 is four times as "
        "quick as 2, and leaves seams.",
    )
    batch: int = Field(16, ge=1, description="Windows in one pass of the network; fewer take less memory.")
    patches: int = Field(64, ge=1, description="Places on the tissue an encoder sees before the first tile.")
    seed: int = Field(0, ge=0, description="Seed of the choice of patches.")

    @classmethod
    def of_run(cls, values: dict[str, Any]) -> Self:
        """Those of a stored run. Where its weights lay when it was trained is forgotten if they are not there: on
        another machine they are looked for anew."""
        made = cls.make(values)
        return made if made.weights is None or made.weights.exists() else made.replace(weights=None)

    def chosen(self, has_windows: bool = True) -> dict[str, Any]:
        """What decides about the features, and about whatever is made of them: not where weights come from, nor how
        many windows are seen at once. `shifts` where it is not the usual and the encoder `has_windows`."""
        kept: dict[str, Any] = self.model_dump(include={"encoder", "patches", "seed"})
        return kept | ({"shifts": self.shifts} if has_windows and self.shifts != 2 else {})


class FeatureSink(Protocol):
    """Where tiles of features go."""

    def done(self, index: tuple[int, int]) -> bool:
        """Whether that tile was written before."""

    def write(self, tile: Tile, block: Array) -> None:
        """Write (rows, columns, channels) of a tile, and mark it."""


class ContextSink(FeatureSink, Protocol):
    """Where features go that are looked at twice: tokens are kept until the second look."""

    def keep_tokens(self, index: tuple[int, int], place: Array, vectors: Array) -> None:
        """Keep the tokens of a tile, as two arrays; called before `write`."""

    def tokens(self, index: tuple[int, int]) -> tuple[Array, Array] | None:
        """Those of a tile; None where it was not looked at."""

    def has_context(self, index: tuple[int, int]) -> bool:
        """Whether the second look at that tile was written before."""

    def write_context(self, tile: Tile, block: Array) -> None:
        """Write (rows, columns, context channels), the first channels of a tile, and mark it."""


def tile_side(encoder: Encoder, grid: Grid) -> int:
    """Side of a tile in superpixels."""
    return encoder.tile_px // grid.superpixel_px


def warn_if_coarse(image: Image, on_event: OnEvent) -> None:
    """Say which channels carry nothing when the slide is coarser than 1 µm per pixel."""
    mpp = image.require_mpp()
    if mpp > _COARSE_MPP:
        text = (
            f"The H&E has {mpp:g} µm per pixel: gradients, patterns and nuclear fraction at 8 µm carry next to "
            "nothing; colour and wide windows still do."
        )
        on_event(Note(text, "warning", STAGE))


def prepare(image: Image, grid: Grid, tissue: Tissue, encoder: Encoder, settings: FeatureSettings) -> dict[str, Array]:
    """The encoder's state for this section, from the tissue superpixels at seeded places of the slide.

    Places are read 16 × 16 superpixels at a time; a patch is one superpixel that is tissue and whole.
    """
    side = 16
    anchors = np.argwhere(tissue.mask)
    rng = np.random.default_rng(settings.seed)
    chosen = anchors[rng.choice(len(anchors), min(settings.patches, len(anchors)), replace=False)]
    patches: list[Array] = []
    for row, column in chosen:
        tile = Tile(Span(row, row + side), Span(column, column + side)).clipped(grid.yx_shape)
        rgb, inside = work_pixels(image.levels, image.require_mpp(), grid.work_mpp, tile.scaled(grid.superpixel_px))
        whole = _blocks(inside[..., None], grid.superpixel_px).all(axis=(2, 3, 4))
        patches.extend(_blocks(rgb, grid.superpixel_px)[tissue.mask[tile.region] & whole])
    return encoder.prepare(patches)


def _blocks(pixels: Array, side: int) -> Array:
    """(rows, columns, side, side, values) of an image cut into superpixels."""
    rows, columns = (n // side for n in pixels.shape[:2])
    return pixels.reshape(rows, side, columns, side, -1).swapaxes(1, 2)


def encode_tiles(
    image: Image,
    grid: Grid,
    tissue: Tissue,
    encoder: Encoder,
    state: Mapping[str, Array],
    sink: FeatureSink,
    on_event: OnEvent = silent,
    device: str = "cpu",
) -> None:
    """Encode every tile that holds tissue and is not done yet."""
    import torch  # takes seconds; the settings above are read without

    plan = _plan(grid, tissue, encoder)
    todo = [t for t in plan if not sink.done(t.index)]
    done = len(plan) - len(todo)
    on_event(Progress(STAGE, done, len(plan)))
    for tile, (rgb, inside) in _ahead(todo, lambda tile: _pixels(image, grid, encoder, tile)):
        pixels, valid, wanted = (torch.from_numpy(x).to(device) for x in (rgb, inside, _wanted(tile, tissue, encoder)))
        if isinstance(encoder, ContextEncoder):
            block, tokens = encoder.encode_with_tokens(pixels, valid, wanted)
            sink.keep_tokens(tile.index, tokens.place, tokens.vectors)  # type: ignore[attr-defined]
        else:
            block = encoder.encode(pixels[None], valid[None], state, wanted[None])[0]
        sink.write(tile, _stored(block, tile, encoder))
        done += 1
        on_event(Progress(STAGE, done, len(plan)))


def look_around(
    grid: Grid,
    tissue: Tissue,
    encoder: ContextEncoder,
    sink: ContextSink,
    on_event: OnEvent = silent,
    device: str = "cpu",
) -> None:
    """The second look at every tile, when `encode_tiles` is through: from the tokens around it, without pixels."""
    import torch

    plan = _plan(grid, tissue, encoder)
    on_event(Progress(STAGE, 0, len(plan), "neighbourhoods"))
    for done, tile in enumerate(plan, start=1):
        if not sink.has_context(tile.index):
            inside, wanted = _inside(tile, grid, encoder), _wanted(tile, tissue, encoder)
            valid, asked = (torch.from_numpy(x).to(device) for x in (inside, wanted))
            block = encoder.context(_tokens_around(tile.index, encoder, sink), valid, asked)
            sink.write_context(tile, _stored(block, tile, encoder))
        on_event(Progress(STAGE, done, len(plan), "neighbourhoods"))


def smooth_tiles(
    source: LazyArray,
    grid: Grid,
    tissue: Tissue,
    encoder: Encoder,
    sink: FeatureSink,
    on_event: OnEvent = silent,
) -> None:
    """Features that are those of another encoder, averaged over their surroundings of tissue, tile by tile."""
    plan = _plan(grid, tissue, encoder)
    reach = max((side // 2 for _, _, side in encoder.smoothing), default=0)
    on_event(Progress(STAGE, 0, len(plan), "smoothing"))
    for done, tile in enumerate(plan, start=1):
        if not sink.done(tile.index):
            wide = tile.grown(reach).clipped(grid.yx_shape)
            values, there = np.asarray(source[wide.region], dtype=np.float32), tissue.mask[wide.region]
            out = np.where(there[..., None], values, np.nan)
            for first, last, side in encoder.smoothing:
                out[..., first:last] = box_means(values[..., first:last], there, side)
            sink.write(tile, out[tile.within(wide)].astype(encoder.dtype))
        on_event(Progress(STAGE, done, len(plan), "smoothing"))


def encode_points(
    image: Image,
    encoder: Encoder,
    xy_um: FloatArray,
    write: Callable[[int, FloatArray], None],
    todo: Sequence[int],
    per_block: int,
    work_mpp: float,
    on_event: OnEvent = silent,
    device: str = "cpu",
) -> None:
    """Vectors of points (n, 2) (x, y) in H&E µm, `per_block` at a time: `write(block, vectors)` for blocks in `todo`.

    The square around a point is read at the encoder's pixel size, else at `work_mpp`; what lies past the slide's edge
    is white.
    """
    import torch

    mpp = encoder.mpp or work_mpp
    blocks = -(-len(xy_um) // per_block)
    done = blocks - len(todo)
    on_event(Progress(STAGE, done, blocks, "points"))
    for block, rgb in _ahead(list(todo), lambda b: _squares(image, encoder, xy_um[b * per_block :][:per_block], mpp)):
        vectors = encoder.encode_points(torch.from_numpy(rgb).to(device))
        write(block, vectors.float().cpu().numpy())
        done += 1
        on_event(Progress(STAGE, done, blocks, "points"))


def _squares(image: Image, encoder: Encoder, xy_um: FloatArray, mpp: float) -> Array:
    """(n, side, side, 3) uint8 around points; the centre lies on the nearest corner of a pixel."""
    side = encoder.point_px or 0
    corners = np.rint(xy_um / mpp - side / 2).astype(np.int64)
    squares = [Tile(Span(y, y + side), Span(x, x + side)) for x, y in corners.tolist()]
    return np.stack([work_pixels(image.levels, image.require_mpp(), mpp, square)[0] for square in squares])


def _plan(grid: Grid, tissue: Tissue, encoder: Encoder) -> list[Tile]:
    return [t for t in tiles(grid.yx_shape, tile_side(encoder, grid)) if tissue.mask[t.region].any()]


def _wanted(tile: Tile, tissue: Tissue, encoder: Encoder) -> BoolArray:
    """Tissue of a whole tile (side, side), also where the tile reaches past the grid."""
    side = encoder.tile_px // SUPERPIXEL_PX
    out = np.zeros((side, side), dtype=bool)
    out[: tile.yx_shape[0], : tile.yx_shape[1]] = tissue.mask[tile.region]
    return out


def _stored(block: Any, tile: Tile, encoder: Encoder) -> Array:
    out: Array = block[: tile.yx_shape[0], : tile.yx_shape[1]].cpu().numpy().astype(encoder.dtype)
    return out


def _tokens_around(index: tuple[int, int], encoder: ContextEncoder, sink: ContextSink) -> Tokens:
    """Tokens of a tile and of those that its context is made of, counted from its corner."""
    ring, lines = ceil(encoder.context_px / encoder.tile_px), encoder.tile_px // encoder.stride_px
    parts = []
    for down, right in np.ndindex(2 * ring + 1, 2 * ring + 1):
        row, column = down - ring, right - ring
        found = sink.tokens((index[0] + row, index[1] + column))
        if found is not None:
            parts.append(Tokens(*found).moved(row * lines, column * lines))
    return Tokens.joined(parts)


_Item = TypeVar("_Item")
_Read = TypeVar("_Read")


def _ahead(plan: list[_Item], read: Callable[[_Item], _Read]) -> Iterator[tuple[_Item, _Read]]:
    """Each item with what is read for it, the next one being read meanwhile."""
    if not plan:
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read, plan[0])
        for item, following in zip(plan, [*plan[1:], None], strict=True):
            ready = ahead.result()
            if following is not None:
                ahead = pool.submit(read, following)
            yield item, ready


def _pixels(image: Image, grid: Grid, encoder: Encoder, tile: Tile) -> tuple[Any, Any]:
    """Work pixels of a whole tile with its halo, also where the tile reaches past the grid."""
    return work_pixels(image.levels, image.require_mpp(), grid.work_mpp, _with_halo(tile, grid, encoder))


def _inside(tile: Tile, grid: Grid, encoder: Encoder) -> BoolArray:
    """Which work pixels of a tile with its halo lie on the slide."""
    wide = _with_halo(tile, grid, encoder)
    rows, columns = (
        (np.arange(span.start, span.stop) >= 0) & (np.arange(span.start, span.stop) < extent)
        for span, extent in zip((wide.rows, wide.columns), grid.work_shape, strict=True)
    )
    out: BoolArray = rows[:, None] & columns[None]
    return out


def _with_halo(tile: Tile, grid: Grid, encoder: Encoder) -> Tile:
    top, left = tile.rows.start * grid.superpixel_px, tile.columns.start * grid.superpixel_px
    return Tile(Span(top, top + encoder.tile_px), Span(left, left + encoder.tile_px)).grown(encoder.halo_px)


def tissue_statistics(array: LazyArray, tissue: Tissue, side: int) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (channels,) over tissue, read in tiles of `side` superpixels."""
    if not tissue.mask.any():
        raise InputError("The tissue mask is empty.", "Give another mask with --mask, or find the tissue again.")
    channels = array.shape[2]
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    plan = [t for t in tiles(tissue.mask.shape, side) if tissue.mask[t.region].any()]
    first = np.asarray(array[plan[0].region], dtype=np.float64)[tissue.mask[plan[0].region]]
    shift = first.mean(0)  # keeps squares small where a channel's mean is large
    for tile in plan:
        values = np.asarray(array[tile.region], dtype=np.float64)[tissue.mask[tile.region]] - shift
        count, total, squares = count + len(values), total + values.sum(0), squares + (values**2).sum(0)
    mean = total / count
    return mean + shift, np.sqrt(np.maximum(squares / count - mean**2, 0.0))
