"""How the page of runs looks."""

from __future__ import annotations

# Number of tints of values.
TINTS = 8

_HUES = (210, 30, 150, 330, 55, 265, 185, 5)

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --ink: #1d2226; --quiet: #5f6a72; --rule: #dcdfe0; --raised: #f1f2ef;
  --accent: #0072b2; --bar: #b9d9ec; --tint: 90%; --tint-ink: 22%;
  --good: #00734f; --busy: #0072b2; --halted: #9a6200; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16191c; --ink: #e6e8e8; --quiet: #9aa5ac; --rule: #33393e; --raised: #1f2428;
    --accent: #6cb8e6; --bar: #1f4c68; --tint: 24%; --tint-ink: 86%;
    --good: #58c79c; --busy: #6cb8e6; --halted: #e0a84a; --bad: #f2857c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 1.6rem 2rem 3rem; background: var(--paper); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 1.5rem; margin: 0; letter-spacing: -0.01em; }
h1 span { color: var(--quiet); font-weight: 400; }
h2 { font-size: 0.85rem; margin: 0 0 0.4rem; color: var(--quiet); }
header p { margin: 0.2rem 0 1rem; color: var(--quiet); }
form {
  display: flex; flex-wrap: wrap; gap: 0.5rem 1.2rem; align-items: center; margin: 0 0 0.9rem;
}
form input[type=search] {
  flex: 0 1 24rem; padding: 0.42rem 0.7rem; font: inherit; color: inherit;
  background: var(--paper); border: 1px solid var(--rule); border-radius: 6px;
}
fieldset { border: 0; margin: 0; padding: 0; display: flex; gap: 1rem; }
output { color: var(--quiet); }
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.7rem; text-align: left; white-space: nowrap; vertical-align: middle; }
thead th { background: var(--raised); border-bottom: 1px solid var(--rule); font-weight: 600; }
tbody tr { border-top: 1px solid var(--rule); }
tbody:first-of-type tr:first-child { border-top: 0; }
tbody > tr:not(.more):hover { background: var(--raised); }
th.number, td.number { text-align: right; }
th button, td.name button {
  all: unset; cursor: pointer; font: inherit; color: inherit;
}
th button:focus-visible, td.name button:focus-visible, input:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px;
}
th button::after { content: "\\2195" / ""; opacity: 0.35; padding-left: 0.35em; font-size: 0.8em; }
th[aria-sort=ascending] button::after { content: "\\25B2" / ""; opacity: 1; }
th[aria-sort=descending] button::after { content: "\\25BC" / ""; opacity: 1; }
td.name button::before { content: "\\25B8" / ""; color: var(--quiet); padding-right: 0.5em; }
td.name button[aria-expanded=true]::before { content: "\\25BE" / ""; }
.state::before {
  content: ""; display: inline-block; width: 0.55em; height: 0.55em; margin-right: 0.5em;
  border-radius: 50%; background: currentColor;
}
.state.finished { color: var(--good); } .state.running { color: var(--busy); }
.state.interrupted { color: var(--halted); } .state.damaged { color: var(--bad); }
.setting span { padding: 0.1em 0.5em; border-radius: 4px; }
.bar {
  position: relative; display: inline-block; width: 7rem; padding: 0.1rem 0.4rem;
  border-radius: 3px;
  background: linear-gradient(to right, var(--bar) calc(var(--value) * 100%), var(--raised) 0);
}
.bar::after {
  content: ""; position: absolute; top: 0; bottom: 0; left: calc(var(--chance, -1) * 100%);
  border-left: 1.5px dotted var(--quiet);
}
.bar:not([style*=chance])::after { display: none; }
svg { vertical-align: middle; }
polyline { fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-linejoin: round; }
circle { fill: var(--accent); }
small { display: inline-block; min-width: 2.6rem; color: var(--quiet); }
.views img { height: 34px; max-width: 160px; object-fit: cover; object-position: left top;
  display: block; border-radius: 3px; }
.more > td { background: var(--raised); white-space: normal; padding: 0.6rem 1.2rem 1.2rem; }
.more p { margin: 0.3rem 0; }
.problem { color: var(--bad); }
code { font: 0.92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.columns { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin-top: 0.8rem; }
dl {
  display: grid; grid-template-columns: auto auto; gap: 0.05rem 1.1rem; margin: 0;
  max-height: 26rem; overflow-y: auto; padding-right: 1rem;
}
dt { color: var(--quiet); } dd { margin: 0; }
mark { background: hsl(50 90% var(--tint)); color: inherit; padding: 0 0.4em; border-radius: 3px; }
.large { flex: 1 1 300px; max-width: 520px; }
.large img { width: 100%; border-radius: 4px; }
""" + "".join(
    f".tint{k} {{ background: hsl({hue} 65% var(--tint)); "
    f"color: hsl({hue} 60% var(--tint-ink)); }}\n"
    for k, hue in enumerate(_HUES, 1)
)
