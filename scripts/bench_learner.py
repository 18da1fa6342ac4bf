"""Loss against minutes: Adam on the network that `quick` had before, Muon on that network, and `quick` as it is; in nbs/results/bench_learner.csv.

Each way trains on Synthetic and on CIFAR10 at 16 pixels, on one thread; the clock is the processor time of the process, so that other work on the machine counts little.
At the end one MLP a task reads the code at t = 1/2. Ways that are in the table are not repeated. Drawn on page 22.
"""
import time
from pathlib import Path

import pandas as pd
import torch
from fastai.callback.core import Callback
from trajdrl.run import make_networks
from trajdrl.settings import make_settings
from trajdrl.disk import atomic_path
from trajdrl.data import load_data, to_dls, to_float
from trajdrl.diffusion import diffusion_learner, ema_encoder, train_diffusion
from trajdrl.downstream import probe
from trajdrl.results import select

OUT = Path(__file__).parent.parent/'nbs'/'results'/'bench_learner.csv'
BEFORE = dict(slim=False, mults=(1, 1, 2), steps=2200, every=110, warmup=100, schedule='cosine')
WAYS = {'quick': {}, 'Muon, NCSN++': dict(BEFORE, optimizer='muon', steps=1100, every=55), 'Adam, NCSN++ (before)': dict(BEFORE, optimizer='adam', lr=2e-3)}

class Clock(Callback):
    "Processor seconds of training, without validation, at the end of each round"
    order = 60
    def before_fit(self): self.seconds, self.total = [], 0.
    def before_train(self): self.start = time.process_time()
    def after_train(self):
        self.total += time.process_time() - self.start
        self.seconds.append(round(self.total, 2))

def fit(dataset, way):
    "Rows of one training: one a round, the last with accuracies"
    s = make_settings(dataset, 'quick', bf16=False, **WAYS[way])
    data = load_data(s.dataset, s.size, s.n_train, s.n_test, s.valid_frac, s.path, s.data_seed)
    names = 'optimizer', 'lr', 'clip', 'ema', 'lambda_z', 'weighting', 'stratify', 'bf16', 'seed'
    clock = Clock()
    learn = diffusion_learner(to_dls(data, s.bs, s.seed, 'cpu'), *make_networks(s, data.channels, data.size), cbs=[clock], **{k: getattr(s, k) for k in names})
    log = train_diffusion(learn, s.steps, s.every, s.warmup, s.schedule)
    rows = [dict(dataset=dataset, way=way, step=r.step, seconds=t, valid_loss=r.valid_loss) for r, t in zip(log.itertuples(), clock.seconds)]
    return rows + [dict(rows[-1], task=t, accuracy=a) for t, a in accuracies(ema_encoder(learn), data).items()]

def accuracies(encoder, data):
    "Test accuracy of MLPs on the code at t = 1/2, by task"
    code = lambda d: torch.cat([encoder.code(to_float(x), .5) for x in torch.as_tensor(d.images).split(512)])[:, None]
    splits = [data.subset(k) for k in ('train', 'valid', 'test')]
    with torch.no_grad(): z = [code(d) for d in splits]
    rows = pd.concat(probe(*[a for zs, d in zip(z, splits) for a in (zs, d.labels[t])], len(data.vocabs[t]), heads=['mlp'], lrs=[2e-3], seeds=3,
                           epochs=60, patience=4, times=['1/2'], task=t) for t in data.tasks)
    return select(rows).groupby('task').test_acc.mean().to_dict()

if __name__ == '__main__':
    df = pd.read_csv(OUT) if OUT.exists() else pd.DataFrame(columns=['dataset', 'way'])
    for way in WAYS:
        for dataset in 'synthetic', 'cifar10':
            if ((df.dataset == dataset) & (df.way == way)).any(): continue
            df = pd.concat([df, pd.DataFrame(fit(dataset, way)).assign(threads=torch.get_num_threads(), torch=torch.__version__)])
            with atomic_path(OUT) as p: df.to_csv(p, index=False)
            print(df[df.way == way].tail(4).to_string(), flush=True)
