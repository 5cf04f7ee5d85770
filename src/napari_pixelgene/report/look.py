"""How the page looks: one template and its style sheet, nothing from outside."""

from __future__ import annotations

from string import Template

STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --paper: #fcfcfa; --faint: #66666b; --line: #d9d9d6; --card: #ffffff;
  --good: #00664b; --bad: #a34700; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #17181a; --faint: #a3a3a8; --line: #3a3b3e;
  --card: #ffffff; --good: #5fd0ae; --bad: #ffae6b; } }
body { font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: var(--ink);
  background: var(--paper); max-width: 1120px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1.1rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p, ul { max-width: 48rem; margin: .45rem 0; }
.verdict { font-size: 1.2rem; line-height: 1.45; font-weight: 600;
  border-left: 5px solid var(--good); padding-left: .9rem; }
.verdict.doubt { border-color: var(--bad); }
.caption, .small { color: var(--faint); font-size: .9rem; }
figure { margin: .9rem 0 1.4rem; }
figure img { display: block; max-width: 100%; height: auto; background: var(--card); border-radius: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; margin: .7rem 0; }
th, td { text-align: right; padding: .28rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
td.words, th.words { text-align: left; white-space: normal; min-width: 8rem; max-width: 34rem; }
tr.strong td { font-weight: 650; }
details { margin: .8rem 0; } summary { cursor: pointer; }
"""

PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
"""
)
