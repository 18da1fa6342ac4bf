"""Chooses the optimiser's settings: validation loss of the `quick` networks after a short training, one row a fit, in nbs/results/optimizer_search.csv.

Settings are varied around a centre, on Synthetic and CIFAR10 at 16 pixels, with two seeds. Fits that are in the table are not repeated.
Adam gets as many more steps as its cheaper step allows, so that all fits take the same time. Read on page 22.
"""
import time
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from trajdrl.run import make_networks
from trajdrl.settings import make_settings
from trajdrl.disk import atomic_path
from trajdrl.data import load_data, to_dls
from trajdrl.diffusion import diffusion_learner, train_diffusion
from trajdrl.optimizer import Muon

OUT = Path(__file__).parent.parent/'nbs'/'results'/'optimizer_search.csv'
STEPS, ADAM_STEPS = 250, 280
CENTRE = dict(optimizer='muon', lr=.02, momentum=.95, schedule='cosine')
WAYS = [CENTRE, *({**CENTRE, **o} for o in (dict(lr=.01), dict(lr=.04), dict(schedule='constant'), dict(schedule='trapezoid'), dict(momentum=.9),
                                 dict(momentum=.9, schedule='constant'), dict(momentum=.9, schedule='trapezoid'))),
        *(dict(optimizer='adam', lr=lr, momentum=.9, schedule='cosine') for lr in (2e-3, 4e-3, 8e-3))]

def fit(dataset, way, seed):
    "The row of one fit"
    s = make_settings(dataset, 'quick', seed=seed, optimizer=way['optimizer'], lr=way['lr'], schedule=way['schedule'], bf16=False,
                      steps=STEPS if way['optimizer'] == 'muon' else ADAM_STEPS)
    data = load_data(s.dataset, s.size, s.n_train, s.n_test, s.valid_frac, s.path, s.data_seed)
    names = 'optimizer', 'lr', 'clip', 'ema', 'lambda_z', 'weighting', 'stratify', 'bf16', 'seed'
    learn = diffusion_learner(to_dls(data, s.bs, s.seed, 'cpu'), *make_networks(s, data.channels, data.size), **{k: getattr(s, k) for k in names})
    if way['optimizer'] == 'muon': learn.opt_func.keywords['opt'] = partial(Muon, momentum=way['momentum'])
    start, cpu = time.time(), time.process_time()
    log = train_diffusion(learn, s.steps, s.steps, s.warmup, s.schedule)
    return dict(dataset=dataset, **way, seed=seed, steps=s.steps, valid_loss=log.valid_loss.iloc[-1], seconds=round(time.time() - start, 1),
                cpu_seconds=round(time.process_time() - cpu, 1), threads=torch.get_num_threads(), torch=torch.__version__)

if __name__ == '__main__':
    rows = pd.read_csv(OUT).to_dict('records') if OUT.exists() else []
    key = lambda r: (r['dataset'], r['optimizer'], r['lr'], r['momentum'], r['schedule'], r['seed'])
    for seed in 0, 1:
        for way in WAYS:
            for dataset in 'synthetic', 'cifar10':
                if (dataset, *way.values(), seed) in map(key, rows): continue
                rows.append(fit(dataset, way, seed))
                print(rows[-1], flush=True)
                with atomic_path(OUT) as p: pd.DataFrame(rows).to_csv(p, index=False)
