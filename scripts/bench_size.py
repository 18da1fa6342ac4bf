"""Peak memory and speed of every stage, from 10,000 to 500,000 images of 32 pixels kept on disk; in nbs/results/bench_size.csv.

Each size has a process of its own, with one thread: it draws Synthetic into a cache, trains a tiny pair of networks for a few steps, encodes with an
encoder of one linear layer, and trains a head: `python scripts/bench_size.py FOLDER`. Drawn in nbs/07e_large.ipynb.
"""
import argparse, subprocess, sys, tempfile, threading, time
from pathlib import Path

import pandas as pd

OUT = Path(__file__).parent.parent/'nbs'/'results'/'bench_size.csv'

def status(*names):
    "Lines of /proc/self/status in MB"
    lines = dict(l.split(':', 1) for l in open('/proc/self/status'))
    return [int(lines[n].split()[0]) / 1024 for n in names]

class Stage(threading.Thread):
    "Peak of this process' own (anonymous) and of all its resident memory within the block, looked at every 10 ms, and the seconds"
    def __init__(self): super().__init__(daemon=True); self.own = self.all = 0; self.on = True
    def run(self):
        while self.on:
            own, both = status('RssAnon', 'VmRSS')
            self.own, self.all = max(self.own, own), max(self.all, both)
            time.sleep(.01)
    def __enter__(self): self.begun = time.perf_counter(); self.start(); return self
    def __exit__(self, *_): self.seconds = time.perf_counter() - self.begun; self.on = False; self.join()

def measure(n, folder):
    "Rows of one size"
    import torch
    torch.set_num_threads(1)
    from trajdrl.data import load_data
    from trajdrl.diffusion import train_diffusion
    from trajdrl.downstream import probe_store
    from trajdrl.encoder import Encoder
    from trajdrl.test_utils import tiny_learner
    from trajdrl.trajectory import encode_data

    class Linear(Encoder):
        "One linear layer on the image of 4 pixels"
        def __init__(self): super().__init__(8, depth=10, width=1); self.map = torch.nn.Linear(48, 8)
        def code(self, x0, t): return self.map(torch.nn.functional.adaptive_avg_pool2d(x0, 4).flatten(1)) * (1 + t)

    rows, n_test = [], n // 10
    def keep(stage, s): rows.append(dict(images=n, stage=stage, own_mb=round(s.own), resident_mb=round(s.all), seconds=round(s.seconds, 2), torch=torch.__version__)); print(rows[-1], flush=True)
    with Stage() as s: data = load_data('synthetic', 32, n - n_test, n_test, cache=folder)
    keep('make', s)
    with Stage() as s: train_diffusion(tiny_learner(data=data), steps=6, every=3)
    keep('train', s)
    with Stage() as s: store = encode_data(Linear(), data, 2, Path(folder)/'store', bs=256)
    keep('encode', s)
    with Stage() as s: probe_store(store, tasks='shape', heads='mlp', lrs=.01, seeds=1, epochs=1, on_disk=True, head_kw=dict(mlp=dict(hidden=32)))
    keep('probe', s)
    return pd.DataFrame(rows).assign(peak_mb=round(status('VmHWM')[0]))

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('folder', nargs='?', default=tempfile.gettempdir(), help='where images and codes lie meanwhile: 2 GB')
    p.add_argument('--sizes', type=int, nargs='+', default=[10_000, 100_000, 500_000])
    p.add_argument('--one', help='measure a single size in this process, into this file')
    a = p.parse_args()
    if a.one: measure(a.sizes[0], a.folder).to_csv(a.one, index=False)
    else:
        tables = []
        for n in a.sizes:
            with tempfile.TemporaryDirectory(dir=a.folder) as d:
                subprocess.run([sys.executable, __file__, d, '--sizes', str(n), '--one', f'{d}/rows.csv'], check=True)
                tables.append(pd.read_csv(f'{d}/rows.csv'))
        pd.concat(tables).to_csv(OUT, index=False)
