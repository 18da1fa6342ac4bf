#!/usr/bin/env python3
"""Runs the module notebooks in the environment it is run in, without nbdev: what those who install the package have.

Usage: python .ci/notebooks.py [NAME ...]    (00_core 03_encoder; all that make a module if none is named; `pip install '.[notebooks]'` is enough)
"""
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

nbs = Path(__file__).resolve().parents[1]/'nbs'
not_tests = '#| eval: false', '#| slow', '#| cuda' # the flags of settings.ini, and illustrations


def run(path):
    "What went wrong in one notebook, in the end; nothing if it passed"
    nb, start = nbformat.read(path, as_version=4), time.time()
    nb.cells = [c for c in nb.cells if c.cell_type == 'code' and not any(line.startswith(not_tests) for line in c.source.splitlines())]
    try: NotebookClient(nb, timeout=900, kernel_name='python3', resources={'metadata': {'path': str(nbs)}}).execute()
    except Exception as e: wrong = str(e).strip().splitlines()[-1]
    else: wrong = ''
    print(f'FAIL  {path.name}: {wrong}' if wrong else f'ok    {path.name} ({time.time() - start:.0f} s)', flush=True)
    return wrong


if __name__ == '__main__':
    os.environ.update(OMP_NUM_THREADS='1', MPLBACKEND='agg')
    found = [p for p in sorted(nbs.glob('[0-9]*.ipynb')) if '#| default_exp' in p.read_text(encoding='utf-8')]
    if sys.argv[1:]: found = [nbs/f'{name}.ipynb' for name in sys.argv[1:]]
    with ThreadPoolExecutor(2) as ex: sys.exit(any(list(ex.map(run, found))))
