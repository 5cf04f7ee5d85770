"""How fast, and in how much memory, transcripts are read, filtered and binned, beside plain group-bys.

    python benchmarks/binning.py [--transcripts 10000000] [--genes 400] [--side-um 8000]

Writes a synthetic `transcripts.parquet`, then runs each way in a process of its own, so that peaks do not
mix. The references hold the whole table: read, filter, map, floor, group by (superpixel, gene).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MATRIX = [[0.7, -0.03, 40.0], [0.02, 0.69, 25.0], [1e-7, -2e-7, 1.0]]
GROUP_ROWS = 1_000_000


def write(path: Path, rows: int, genes: int, side_um: float) -> None:
    """A table as the instrument writes it: clustered positions, skewed genes, some low quality, some controls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    names = np.array([f"GENE{i:04d}" for i in range(genes)] + ["NegControlProbe_00042", "UnassignedCodeword_0007"])
    weight = rng.gamma(0.5, size=len(names))
    centres = rng.uniform(0, side_um, (4000, 2))
    writer = None
    for start in range(0, rows, GROUP_ROWS):
        n = min(GROUP_ROWS, rows - start)
        xy = np.clip(centres[rng.integers(0, 4000, n)] + rng.normal(0, 60, (n, 2)), 0, side_um).astype(np.float32)
        code = rng.choice(len(names), n, p=weight / weight.sum())
        table = pa.table(
            {
                "transcript_id": np.arange(start, start + n, dtype=np.uint64),
                "cell_id": pa.array(["UNASSIGNED"]).take(pa.array(np.zeros(n, dtype=np.int32))),
                "feature_name": pa.array(names).take(pa.array(code)),
                "x_location": xy[:, 0],
                "y_location": xy[:, 1],
                "z_location": rng.uniform(10, 25, n).astype(np.float32),
                "qv": np.where(rng.random(n) < 0.85, 40, rng.uniform(0, 40, n)).astype(np.float32),
                "is_gene": code < genes,
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def ours(path: Path) -> tuple[int, int]:
    """(different superpixel-gene pairs, transcripts counted)."""
    from napari_pixelgene.elements.alignment import Transform
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.progress import silent
    from napari_pixelgene.readers import xenium_transcripts as reader
    from napari_pixelgene.stages.binning import bin_transcripts

    began = time.perf_counter()
    table = reader.open_table(path, 20.0)
    found = reader.survey(table, 20.0)
    transcripts = reader.stream(table, GeneTable(tuple(sorted(found.seen))), found, 20.0, silent)
    print(f"    survey {time.perf_counter() - began:.2f} s", file=sys.stderr)
    side = side_px(path)
    grid = Grid((side, side), (side * 16, side * 16))
    binned = bin_transcripts(transcripts, Transform(np.array(MATRIX), "stage_um", "he_um"), grid)
    return int(binned.bins.counts.nnz), binned.counted


def side_px(path: Path) -> int:
    """Superpixels a side of the benchmark's H&E."""
    return int(path.stem.split("-")[-1])


def with_polars(path: Path) -> tuple[int, int]:
    """The same by one lazy query over the whole table."""
    import polars as pl

    m, side = MATRIX, side_px(path)
    x, y = pl.col("x_location").cast(pl.Float64), pl.col("y_location").cast(pl.Float64)
    w = m[2][0] * x + m[2][1] * y + m[2][2]
    column = (((m[0][0] * x + m[0][1] * y + m[0][2]) / w) / 8).floor().cast(pl.Int64)
    row = (((m[1][0] * x + m[1][1] * y + m[1][2]) / w) / 8).floor().cast(pl.Int64)
    kept = pl.read_parquet(path).lazy().filter((pl.col("qv") >= 20) & pl.col("is_gene"))
    placed = kept.select("feature_name", row=row, column=column)
    inside = placed.filter(pl.col("row").is_between(0, side - 1) & pl.col("column").is_between(0, side - 1))
    counts = inside.group_by("row", "column", "feature_name").len().collect()
    return counts.height, int(counts["len"].sum())


def with_pandas(path: Path) -> tuple[int, int]:
    """The same with pandas, vectorised."""
    import pandas as pd

    table = pd.read_parquet(path, columns=["feature_name", "x_location", "y_location", "qv", "is_gene"])
    table = table[(table.qv >= 20) & table.is_gene]
    m, side = MATRIX, side_px(path)
    x, y = table.x_location.to_numpy(float), table.y_location.to_numpy(float)
    w = m[2][0] * x + m[2][1] * y + m[2][2]
    table["column"] = np.floor((m[0][0] * x + m[0][1] * y + m[0][2]) / w / 8).astype(int)
    table["row"] = np.floor((m[1][0] * x + m[1][1] * y + m[1][2]) / w / 8).astype(int)
    table = table[table.row.between(0, side - 1) & table.column.between(0, side - 1)]
    counts = table.groupby(["row", "column", "feature_name"], sort=False).size()
    return len(counts), int(counts.sum())


WAYS = {"ours": ours, "polars": with_polars, "pandas": with_pandas}


def measure(way: str, path: Path) -> None:
    """Run one way here and print what it took as JSON."""
    began = time.perf_counter()
    pairs, counted = WAYS[way](path)
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak_mb, cpu = held_kb() / 1024, used.ru_utime + used.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak_mb, "pairs": pairs, "counted": counted}))


def held_kb() -> int:
    """The most this process has held; `ru_maxrss` would begin with what its parent held when it wrote the table."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


def main() -> None:
    """Write the table, run every way, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transcripts", type=int, default=10_000_000)
    parser.add_argument("--genes", type=int, default=400)
    parser.add_argument("--side-um", type=float, default=8000.0)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        return measure(asked.measure[0], Path(asked.measure[1]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"transcripts-{int(asked.side_um * 0.72 / 8) + 5}.parquet"
        write(path, asked.transcripts, asked.genes, asked.side_um)
        print(f"{asked.transcripts:,} transcripts, {asked.genes} genes, {path.stat().st_size / 1e6:.0f} MB of Parquet")
        first = None
        for way in asked.ways:
            command = [sys.executable, __file__, "--measure", way, str(path)]
            got = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            first = first or got
            took = f"{got['seconds']:7.2f} s  {got['cpu']:7.2f} CPU s  {got['peak_mb']:6.0f} MB"
            ratio = f"{got['seconds'] / first['seconds']:.1f} times the first"
            print(f"{way:8s} {took}  {got['pairs']:,} pairs, {got['counted']:,} counted  ({ratio})", flush=True)
    return None


if __name__ == "__main__":
    main()
