"""Every estimator of mutual information on Gaussian codes whose information is known; in nbs/results/calibration.csv.

Codes of 0, 1, 2 and 5 nats in 2 to 64 dimensions, 2 nats seen through a warp, and the shuffled null of a 2-nat pair. There are 10,000 codes, as in a test set, and each seed has
codes, split, weights and batches of its own. All cases of one dimension are one stack. Finished blocks are kept, so an interrupted run goes on where it was. Takes about half an
hour on one core. Drawn on page 38.
"""
import time
from pathlib import Path

import numpy as np
import pandas as pd
from trajdrl.core import fast_bf16
from trajdrl.disk import Table, TableError
from trajdrl.mine import estimate
from trajdrl.test_utils import gaussian_codes

OUT = Path(__file__).parent.parent/'nbs'/'results'/'calibration.csv'
DIMS = (2, 4, 8, 16, 32, 64)
CASES = (('gaussian', 0), ('gaussian', 1), ('gaussian', 2), ('gaussian', 5), ('warped', 2), ('shuffled', 2)) # nats before any shuffle
PLAN = (*((e, DIMS, None) for e in ('infonce', 'ksg', 'mine', 'smile')), ('mine_paper', (2, 16, 64), None),
        ('infonce', (16,), 'float32'), ('mine_paper', (16,), 'float32')) # estimator, dimensions, precision

class Calibration(Table): columns = 'estimator dtype kind truth d seed n nats'.split()

def block(name, d, seeds, n=10_000, dtype='float32', **settings):
    "Rows of all cases of one dimension by one estimator"
    keys = [(s, i, *case) for s in seeds for i, case in enumerate(CASES)]
    z = np.concatenate([gaussian_codes(nats, d, n, 1000*s + i, kind == 'warped') for s, i, kind, nats in keys], 1)
    for m, (s, _, kind, _) in enumerate(keys):
        if kind == 'shuffled': z[:, 2*m+1] = z[np.random.default_rng(s).permutation(n), 2*m+1]
    left = 2*np.arange(len(keys))
    nats = estimate(name, z, left, left + 1, [s for s, *_ in keys], 'cpu', dtype, **settings)
    rows = [dict(kind=kind, truth=0 if kind == 'shuffled' else true, seed=s, nats=v) for (s, _, kind, true), v in zip(keys, nats)]
    return pd.DataFrame(rows).assign(estimator=name, dtype=dtype, d=d, n=n)[Calibration.columns].round(5)

def calibrate(out=OUT, plan=PLAN, seeds=range(3), n=10_000, settings={}, log=print):
    "The table in `out`, with the blocks of `plan` that it lacked; `settings` are the estimators', by name"
    table = Calibration(out)
    if set(table.rows.n) - {n}: raise TableError(f'out={out} was measured with n={table.rows.n.iloc[0]}, not {n}; give another file')
    for name, d, dtype in [(name, d, dtype) for name, dims, dtype in plan for d in dims]:
        used = 'float64' if name == 'ksg' else dtype or ('bfloat16' if fast_bf16() else 'float32')
        todo = [s for s in seeds if s not in set(table.find(dict(estimator=name, d=d, dtype=used)).seed)]
        if not todo: continue
        start = time.process_time()
        rows = table.add(block(name, d, todo, n, used, **settings.get(name, {})))
        log(f'{name}, d = {d}, {used}: {len(rows)} fits in {time.process_time() - start:.0f} s of processor time')
    return table.rows

if __name__ == '__main__': calibrate()
