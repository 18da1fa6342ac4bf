"""What it costs that files are synced, listed and hashed: training and encoding with and without, in turns, in nbs/results/bench_guards.csv. Drawn in nbs/12a_faults.ipynb.

The settings are those of `quick` (Synthetic, 16 pixels): `python scripts/bench_guards.py`. Without means that `fsync` and SHA-256 do nothing and no list is kept. On a machine
that others use too, turns differ by more than the guards cost; so the seconds inside the guards are also counted, with them on.
"""
import hashlib, os, time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pandas as pd
import torch
from trajdrl import disk, trajectory
from trajdrl.core import time_grid
from trajdrl.disk import list_files, save_bytes
from trajdrl.data import load_data, to_dls
from trajdrl.diffusion import diffusion_learner, train_diffusion
from trajdrl.run import make_networks
from trajdrl.settings import make_settings
from trajdrl.trajectory import encode_data

OUT = Path(__file__).parent.parent/'nbs'/'results'/'bench_guards.csv'

class NoHash:
    "A hash that does nothing"
    def __init__(self, *_): pass
    def update(self, _): pass
    def copy(self): return self
    def hexdigest(self): return '0'

@contextmanager
def unguarded():
    with patch.object(os, 'fsync', lambda fd: None), patch.object(disk, '_enter', lambda *_: None), patch.object(disk, '_digest', lambda _: '0'), \
         patch.object(trajectory, 'hashlib', type('', (), dict(sha256=NoHash))): yield

class Seconds:
    "Counts the seconds inside functions, as well as inside SHA-256"
    def __init__(self): self.total = 0.
    def timed(self, f):
        def inner(*args, **kwargs):
            start = time.perf_counter()
            try: return f(*args, **kwargs)
            finally: self.total += time.perf_counter() - start
        return inner

    @contextmanager
    def counting(self):
        count = self
        class Hash:
            def __init__(self, data=b''): self.h = hashlib.sha256(data)
            def update(self, data): count.timed(self.h.update)(data)
            def copy(self): return self.h.copy()
            def hexdigest(self): return self.h.hexdigest()
        with patch.object(disk, '_commit', self.timed(disk._commit)), patch.object(trajectory, 'list_file', self.timed(disk.list_file)), \
             patch.object(trajectory, 'known', self.timed(disk.known)), patch.object(trajectory, 'hashlib', type('', (), dict(sha256=Hash))): yield

def bench_guards(rounds=5, steps=100, every=50, n=4096):
    "One row a turn and guard: seconds of training, with its checkpoints, and of encoding"
    s = make_settings('synthetic')
    data, rows = load_data('synthetic', s.size, n - n // 8, n // 8), []
    for turn in range(rounds):
        for guards in ((True, False), (False, True))[turn % 2]:
            inside = Seconds()
            with TemporaryDirectory() as d, (inside.counting() if guards else unguarded()):
                if guards: list_files(d)
                encoder, score = make_networks(s, data.channels, data.size)
                learn = diffusion_learner(to_dls(data, s.bs), encoder, score, d, optimizer=s.optimizer, lr=s.lr, channels_last=s.channels_last)
                start = time.perf_counter()
                train_diffusion(learn, steps, every)
                between, of_training = time.perf_counter(), inside.total
                encode_data(encoder, data, time_grid(10), Path(d)/'store', s.encode_bs)
                rows.append(dict(turn=turn, guards=guards, train_s=between - start, encode_s=time.perf_counter() - between,
                                 train_guards_s=of_training, encode_guards_s=inside.total - of_training, threads=torch.get_num_threads(), torch=torch.__version__))
                print(rows[-1], flush=True)
    return pd.DataFrame(rows).round(4)

if __name__ == '__main__': save_bytes(OUT, bench_guards().to_csv(index=False))
