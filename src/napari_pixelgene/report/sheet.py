"""How a page looks that has to stay one page: a sheet of A4 in print, one screen where that is wide enough."""

from __future__ import annotations

# In print pictures take what text and tables leave of the sheet, so that nothing ever spills onto a second one.
SHEET = """
@page { size: A4 portrait; margin: 9mm; }
.sheet { display: grid; gap: .5rem 1.4rem; font-size: .86rem; line-height: 1.35;
  grid-template-columns: minmax(0, 1fr);
  grid-template-areas: "top" "map" "crops" "numbers" "models" "pairs" "foot"; }
.sheet section { min-width: 0; min-height: 0; display: flex; flex-direction: column; }
.sheet .left, .sheet .right { display: contents; }
.sheet h2 { font-size: 1.1em; margin: .2rem 0; padding: 0; border: 0; }
.sheet p, .sheet ul { margin: .15rem 0; max-width: none; }
.sheet ul { padding-left: 1.1rem; }
.sheet .caption { font-size: .93em; }
.sheet .scroll { flex: none; }
.sheet table { margin: .1rem 0; font-size: .93em; }
.sheet th, .sheet td { padding: .06rem .45rem; }
.sheet td.words, .sheet th.words { min-width: 0; white-space: nowrap; }
.sheet th:empty { padding: 0; border: 0; }
.sheet figure { margin: 0; min-width: 0; min-height: 0; display: flex; flex-direction: column; }
.sheet figure img { min-height: 0; max-width: 100%; object-fit: contain; }
.sheet .two { display: flex; gap: .6rem; min-height: 0; }
.sheet .two figure { flex: 1 1 0; }
.sheet .two img { object-position: top; }
.sheet .verdict { font-size: 1.13em; line-height: 1.35; }
.sheet .verdict.look-here { border-color: #b07a00; }
.sheet .verdict.do-not-use { border-color: var(--bad); }
.sheet .blocks { display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: flex-start; }
.sheet .foot { color: var(--faint); font-size: .87em; }
.sheet .top { grid-area: top; } .sheet .map { grid-area: map; } .sheet .crops { grid-area: crops; }
.sheet .numbers { grid-area: numbers; } .sheet .models { grid-area: models; } .sheet .pairs { grid-area: pairs; }
.sheet .foot { grid-area: foot; }
@media screen and (min-width: 1280px) {
  body { max-width: none; padding: .6rem 1.2rem; }
  h1 { font-size: 1.2rem; margin: 0 0 .3rem; }
  .sheet { min-height: calc(100vh - 4.2rem);
    grid-template-columns: minmax(22rem, 1fr) minmax(0, 1.15fr) minmax(0, 1.35fr);
    grid-template-rows: 1fr auto;
    grid-template-areas: "left map right" "foot foot foot"; }
  .sheet .left, .sheet .right { display: flex; flex-direction: column; gap: .5rem; min-width: 0; }
  .sheet .left { grid-area: left; } .sheet .right { grid-area: right; }
  .sheet .two { flex-direction: column; align-items: flex-start; }
  .sheet .two figure { flex: none; }
  .sheet .two img { max-height: calc(50vh - 5.4rem); }
  .sheet .crops img { max-height: 52vh; }
}
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --faint: #444; --line: #bbb; --good: #00664b;
    --bad: #a34700; }
  body { max-width: none; margin: 0; padding: 0; background: #fff; }
  h1 { font-size: 13pt; height: 6mm; margin: 0 0 1mm; overflow: hidden; white-space: nowrap; }
  .sheet { height: 270mm; overflow: hidden; gap: 1.2mm 5mm; font-size: 8pt; line-height: 1.25;
    grid-template-columns: auto minmax(50mm, 1fr) auto;
    grid-template-rows: auto minmax(0, 1fr) minmax(0, 1.15fr) auto auto;
    grid-template-areas: "top top top" "map map map" "crops crops crops" "numbers models pairs" "foot foot foot"; }
  .sheet.bare { grid-template-rows: auto minmax(0, 1fr) auto auto auto; }
  .sheet.bare .two { flex: 0 1 auto; }
  .sheet h2 { margin: .5mm 0; }
  .sheet td, .sheet th { padding: .1mm 1.2mm; }
  .sheet details { display: none; }
  .sheet .scroll { overflow: visible; }
  .sheet .blocks { flex-wrap: nowrap; gap: 2.5mm; }
  .sheet .blocks table { font-size: 6.8pt; }
  .sheet .blocks td, .sheet .blocks th { padding: .1mm .8mm; }
  .sheet figure { align-items: center; flex: 1 1 0; }
  .sheet figure img { max-height: 100%; border-radius: 0; }
  .sheet .two { flex: 1 1 0; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
