"""How the page of a job looks: on a light or dark screen, and on paper."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --page: #fcfcfb; --ink: #1d1d1b; --soft: #62625d; --line: #deddd8;
  --mark: #2a78d6; --pale: #b9d2ee; --limit: #8a8a84; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --page: #191918; --ink: #f2f1ec; --soft: #b1b0a8; --line: #3a3a37;
    --mark: #4b93ea; --pale: #29486d; --limit: #8f8e87; --bad: #f2938c }
}
body { background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1.25rem }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p { margin: .25rem 0 .75rem }
.soft { color: var(--soft) }
.bad { color: var(--bad) }
.side { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)) }
.plots { display: grid; gap: 1.5rem 2rem; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)) }
table { border-collapse: collapse; font-size: .9rem; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .75rem .3rem 0; text-align: left;
  vertical-align: top }
th { color: var(--soft); font-weight: 600 }
td:first-child, td:last-child { overflow-wrap: anywhere }
td:first-child { min-width: 16em }
.side td:first-child { min-width: 0; overflow-wrap: normal }
.n { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap }
figure { margin: 0 }
figcaption { font-weight: 600; margin-bottom: .25rem }
svg { display: block; height: auto; width: 100% }
svg text { fill: var(--soft); font-family: system-ui, sans-serif }
.axis { stroke: var(--soft) }
.grid { stroke: var(--line) }
.limit { stroke: var(--limit) }
.mark, .dot { fill: var(--mark) }
.pale { fill: var(--pale) }
@media print {
  :root { color-scheme: light; --page: #fff; --ink: #000; --soft: #444; --line: #ccc; --mark: #2a78d6; --pale: #b9d2ee;
    --limit: #777; --bad: #b3261e }
  table { font-size: 7.5pt }
  body { font-size: 10pt; margin: 0; max-width: none; padding: 0 }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  .side, .plots { grid-template-columns: 1fr 1fr }
  figure, tr { break-inside: avoid }
  h2 { break-after: avoid }
  thead { display: table-header-group }
}
"""
