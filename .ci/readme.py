#!/usr/bin/env python3
"""Writes README.md, and the pictures it shows, from nbs/index.ipynb with nbconvert.

Usage: python .ci/readme.py [--check]    (--check writes nothing and fails where they are out of step)
"""
import re, sys
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parents[1]
pictures = Path('nbs/images') # where README.md finds its pictures
directive = re.compile(r'^#\|[ \t]*([\w-]+)[ \t]*:?[ \t]*(.*)\n?', re.M)


def visible(cells):
    "The cells that are shown, without their directives; pictures take their names and descriptions from `label` and `fig-alt`"
    for cell in cells:
        flags = dict(directive.findall(cell.source)) if cell.cell_type == 'code' else {}
        if 'hide' in flags: continue
        if cell.cell_type == 'code': cell.source = directive.sub('', cell.source).strip()
        if flags.get('echo') == 'false': cell.metadata.transient = {'remove_source': True}
        for out in cell.get('outputs', []):
            if 'image/png' in out.get('data', {}): out.metadata.update(filename=flags['label'].removeprefix('fig-'), alt=flags['fig-alt'])
            if 'text/html' in out.get('data', {}): out.data['text/html'] = re.sub(r'<style.*?</style>\n?', '', out.data['text/html'], flags=re.S)
        yield cell


def render():
    "All files made from the index page: path -> bytes"
    nb = nbformat.read(root/'nbs/index.ipynb', as_version=4)
    nb.cells = list(visible(nb.cells))
    alts = [o.metadata.alt for c in nb.cells for o in c.get('outputs', []) if 'alt' in o.get('metadata', {})]
    nb.metadata.language_info = {'name': 'python'}
    text, resources = MarkdownExporter().from_notebook_node(nb, resources={'output_files_dir': str(pictures)})
    for alt in alts: text = text.replace('![png]', f'![{alt}]', 1)
    text = re.sub(r'\]\((\w+\.ipynb)', r'](nbs/\1', text) # the page's neighbours, seen from the root
    text = re.sub(r'\n{3,}', '\n\n', re.sub(r'[ \t]+$', '', text, flags=re.M)).strip() + '\n'
    return {Path('README.md'): text.encode(), **{Path(k): v for k, v in resources['outputs'].items()}}


def main(check):
    made = render()
    stale = {p.relative_to(root) for p in (root/pictures).glob('*')} - set(made)
    if check:
        wrong = [str(p) for p, b in made.items() if not (root/p).exists() or (root/p).read_bytes() != b] + sorted(map(str, stale))
        return f"out of step with nbs/index.ipynb: {', '.join(wrong)}; run python .ci/readme.py" if wrong else 0
    for p in stale: (root/p).unlink()
    for p, b in made.items():
        (root/p).parent.mkdir(exist_ok=True)
        (root/p).write_bytes(b)


if __name__ == '__main__': sys.exit(main('--check' in sys.argv[1:]))
