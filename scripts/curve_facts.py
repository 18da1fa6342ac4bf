"""How the curves of committed encoders move, and how few points hold them: no labels; in nbs/results/curve_facts.csv. Read on page 43.

Encoders of nbs/results/0.2, in half precision, on their first test images at the paper's 109 times. One row a fact: `what` was measured at which `x` (a granularity, a time, a share).
Encoders that are in the table are not asked again. A minute each on one core.
"""
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from runs import kept_encoder
from trajdrl.core import PAPER_GRANULARITIES, time_grid, union_times
from trajdrl.curve import arc_length, cka_matrix, component_shares, interpolation_errors, n_components, smallest_grid, span_error, span_times, velocity
from trajdrl.data import to_float
from trajdrl.disk import Table
from trajdrl.run import Run
from trajdrl.trajectory import encode

RESULTS = Path(__file__).parent.parent/'nbs'/'results'
NAMES = [f'where/synthetic_drl_{d}_{s}' for d in (2, 16) for s in (0, 1, 2)] + [f'where/colored_mnist_drl_2_{s}' for s in (0, 1, 2)]
NAMES += [f'small/synthetic_drl_{s}' for s in (0, 1, 2)] + ['small/colored_mnist_drl_0', 'small/cifar10_drl_0']

def facts(encoder, images, n=1000, few=100, fine=50, times=union_times(*PAPER_GRANULARITIES), grids=PAPER_GRANULARITIES):
    "what, x, value: one row each"
    z, rows = encode(encoder, images[:n], times), []
    add = lambda what, x, value: rows.append(dict(what=what, x=str(x), value=float(value)))
    errors = interpolation_errors(z, times, grids)
    for (kind, k), e in errors.groupby(['kind', 'granularity']).error:
        add(f'{kind}, median', k, e.median()), add(f'{kind}, worst', k, e.max())
    for within in .01, .05:
        for kind, k in smallest_grid(errors, within).items(): add(f'grid, {kind}', within, np.nan if k is None else k)
    shares = component_shares(z, times, n)
    for keep in .9, .99, .999: add('components', keep, n_components(shares, keep))
    for K in 1, 2, 3, 5, 8: add('missed by K', K, span_error(z, span_times(z, K)))
    at, wide = time_grid(10), lambda z: np.sqrt(((z - z.mean(0))**2).sum(-1).mean(0)) # spread of the codes of each time over images
    code = z[:, [times.index(t) for t in at]]
    for t, c, s in zip(at, cka_matrix(code)[0], wide(code) / wide(code).max()): add('CKA to t = 0', t, c), add('spread', t, s)
    code, v = velocity(encoder, to_float(images[:few]), fine)
    for t, speed in zip(time_grid(fine), np.linalg.norm(v, axis=-1).mean(0) / wide(code)): add('speed', t, speed) # in spreads a unit of t
    add('length', '', np.median(arc_length(v / wide(code)[:, None], time_grid(fine)))) # in spreads
    return rows

if __name__ == '__main__':
    table = Table(RESULTS/'curve_facts.csv')
    for name in NAMES:
        if len(table.rows) and (table.rows.name == name).any(): continue
        run = Run(RESULTS/'0.2'/name)
        encoder, s = kept_encoder(run, run.path/'encoder.safetensors').eval().requires_grad_(False), run.settings
        with torch.no_grad(): rows = facts(encoder, run.load().subset('test').images)
        table.add(pd.DataFrame(rows).assign(name=name, dataset=s.dataset, d=s.d, seed=s.seed)[['name', 'dataset', 'd', 'seed', 'what', 'x', 'value']])
        print(name, len(rows), flush=True)
