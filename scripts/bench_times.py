"""What learning five times costs, beside the greedy search; in nbs/results/bench_times.csv.

5,000 curves of 64 dimensions at the 109 times of the paper's nine granularities, one task, K = 5, the settings of `trajdrl_times`. The curves are made and the encoder (that of `quick`) is untrained: the cost
does not depend on it. Learning is timed whole; of the search's passes over the curves some are, and `seconds` scales them up to all: every pass costs the same. It is the time that the process had on its
threads, so that whatever else the machine does falls on no way. `ratio` is to the greedy search of the same turn. Takes some minutes. Drawn on page 42.
"""
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from trajdrl.core import PAPER_GRANULARITIES, union_times
from trajdrl.disk import Table
from trajdrl.data import load_data
from trajdrl.encoder import Encoder
from trajdrl.looks import METHODS, TimesSettings, _SEARCH
from trajdrl.test_utils import BumpStore
from trajdrl.times import CurveSet
from trajdrl.trajectory import Curves

OUT = Path(__file__).parent.parent/'nbs'/'results'/'bench_times.csv'

class Wide(BumpStore):
    "Made curves, turned into more dimensions"
    def __init__(self, n, d):
        super().__init__(n)
        self.turn = np.random.default_rng(0).normal(size=(4, d))
    def curves(self, split='train', times=None):
        c = super().curves(split, times)
        return Curves((c.codes @ self.turn).astype(np.float32), c.cols, c.times)

def bench(out=OUT, n=7500, d=64, K=5, times=union_times(*PAPER_GRANULARITIES), passes=2, rounds=1, size=16):
    "One row a turn and way; two thirds of `n` curves are trained on, and `passes` are timed of the 20 of the greedy search"
    Path(out).unlink(missing_ok=True)
    s, table, images = TimesSettings(), Table(out), load_data('synthetic', size, 5 * n // 6, n - 5 * n // 6, valid_frac=.2)
    torch.manual_seed(0)
    curves = CurveSet(Wide(n, d), times, Encoder(d, depth=10, width=1, pool=4, size=size).eval().requires_grad_(False), images, 'cpu')
    def cpu(method, epochs, **kwargs):
        start = time.process_time()
        METHODS[method](curves, ['late'], K, epochs=2*epochs, starts=s.starts, **kwargs)
        return (time.process_time() - start) / torch.get_num_threads()
    cpu('learned', 1, refine=1), cpu('greedy', 1)
    for turn in range(rounds):
        seconds = {'greedy': cpu('greedy', passes) * _SEARCH / passes, 'learned': cpu('learned', _SEARCH), 'learned, refined': cpu('learned', _SEARCH, refine=s.refine)}
        for way, x in seconds.items():
            table.add(pd.DataFrame([dict(turn=turn, way=way, seconds=x, ratio=seconds['greedy'] / x, K=K, T=len(times), curves=len(curves.x['train']), d=d, timed=passes,
                                         epochs=_SEARCH, starts=s.starts, refine=s.refine, threads=torch.get_num_threads(), torch=torch.__version__)]).round(3))
    return table.rows

if __name__ == '__main__': print(bench().to_string())
