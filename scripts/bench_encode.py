"""Images a second of `encode_data`, all the way to disk, beside the encoder's bare forward passes; in nbs/results/bench_encode.csv.

Both take turns, with the encoder of `quick` (Synthetic, 16 pixels, 64 dimensions) at 11 times: `python scripts/bench_encode.py`. Drawn in nbs/07_trajectory.ipynb.
"""
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from trajdrl.core import time_grid
from trajdrl.disk import atomic_path
from trajdrl.data import load_data, to_float
from trajdrl.encoder import Encoder
from trajdrl.trajectory import encode_data

OUT = Path(__file__).parent.parent/'nbs'/'results'/'bench_encode.csv'

def bench_encode(n=4096, size=16, bs=256, rounds=5):
    "One row a turn: images a second of both, and their ratio"
    data, encoder, rows = load_data('synthetic', size, n - n // 8, n // 8), Encoder(64, depth=10, width=1, size=size).eval(), []
    x, times = to_float(data.images[:bs]).contiguous(), time_grid(10)
    for turn in range(rounds):
        with TemporaryDirectory() as d, torch.no_grad():
            start = time.perf_counter()
            for _ in range(n // bs):
                for t in times: encoder(x, float(t))
            between = time.perf_counter()
            encode_data(encoder, data, times, Path(d)/'store', bs)
            bare, whole = n / (between - start), n / (time.perf_counter() - between)
        rows.append(dict(turn=turn, bare=bare, encode_data=whole, ratio=whole / bare, threads=torch.get_num_threads(), torch=torch.__version__))
        print(f'turn {turn}: {bare:.0f} bare, {whole:.0f} to disk')
    return pd.DataFrame(rows).round(3)

if __name__ == '__main__':
    df = bench_encode()
    with atomic_path(OUT) as p: df.to_csv(p, index=False)
