"""A stack of heads against the same heads one after another, and stacks written by hand against those derived by torch.func.

`python scripts/bench_stack.py` writes nbs/results/bench_stack.csv, which page 09 draws (minutes). 11 points and 6 learning rates make 66 MLPs (d = 64, 2,000 curves, batch 256): as one stack, and
one after another as `nn.Sequential` and `torch.optim.Adam`. Both follow the rule of `Patience` until every head is done, and each epoch evaluates on 200 held-out curves and keeps the best weights. The stack has
bfloat16 products where the processor has them, the plain heads single precision, PyTorch's default. The two take turns, so that whatever else the machine does falls on both. Of the 66 plain fits 12 are timed, two of each
learning rate, and scaled up.

`python scripts/bench_stack.py derived` prints how much longer forward and backward of the stacks derived from the single heads take than of those written by hand (page 08), in turns too.
"""
import sys, time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from trajdrl.core import fast_bf16
from trajdrl.disk import atomic_path
from trajdrl.downstream import PAPER_LRS, probe
from trajdrl.heads import HEADS, HeadStack
from trajdrl.test_utils import toy_curves

OUT = Path(__file__).parent.parent/'nbs'/'results'/'bench_stack.csv'

def fit_plain(x, y, xv, yv, lr, seed, epochs, patience=0, bs=256): # curves (n, d) of one point and labels, to train and to choose the epoch by
    "One MLP head as one would write it: its best validation accuracy, and the epochs trained"
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(x.shape[1], 512), nn.ReLU(), nn.Dropout(.25), nn.Linear(512, int(y.max()) + 1))
    opt, best, lowest, since, drops = torch.optim.Adam(net.parameters(), lr, weight_decay=1e-5), -1., torch.inf, 0, 0
    for epoch in range(1, epochs + 1):
        net.train()
        for rows in torch.randperm(len(x)).split(bs)[:len(x) // bs]:
            opt.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            opt.step()
        with torch.no_grad(): pred = net.eval()(xv)
        acc, loss = (pred.argmax(1) == yv).float().mean().item(), F.cross_entropy(pred, yv).item()
        if acc > best or loss < .99 * lowest: since = epoch
        if loss < .99 * lowest: lowest = loss
        if acc > best: best, kept = acc, {k: v.clone() for k, v in net.state_dict().items()}
        if patience and epoch - since >= patience: opt.param_groups[0]['lr'], drops, since = opt.param_groups[0]['lr'] / 2, drops + 1, epoch
        if patience and (drops > 3 or best == 1): break
    net.load_state_dict(kept)
    return best, epoch

def bench_stack(n=2000, d=64, T=11, n_lrs=6, n_seeds=1, epochs=40, patience=2, rounds=3, sample=12):
    "One row a turn and way: seconds on the clock and of the processor, for the heads that were trained and for all"
    x, labels = toy_curves(n + n // 10, T, d, noise=3.)
    y, heads, lrs, rows = labels['both'], n_lrs * T * n_seeds, PAPER_LRS[:n_lrs], []
    def stack():
        rest = x[n:], y[n:]
        return probe(x[:n], y[:n], *rest, *rest, 4, 'mlp', lrs, n_seeds, epochs, patience, device='cpu').stopped.replace(0, epochs).mean()
    xs, ys = torch.as_tensor((x - x[:n].mean(0)) / x[:n].std(0)), torch.as_tensor(y)
    def one(i): return fit_plain(xs[:n, i % T].contiguous(), ys[:n], xs[n:, i % T].contiguous(), ys[n:], lrs[i % n_lrs], i, epochs, patience)[1]
    def plain(): return np.mean([one(i) for i in range(sample)])
    fit_plain(xs[:300, 0], ys[:300], xs[n:, 0], ys[n:], 1e-3, 0, 1) # the first use of an optimiser imports half of PyTorch
    for turn in range(rounds):
        for way, fit, timed in ('stack', stack, heads), ('one by one', plain, sample):
            start, used = time.perf_counter(), time.process_time()
            mean = fit()
            s, cpu = time.perf_counter() - start, time.process_time() - used
            rows.append(dict(turn=turn, way=way, heads=timed, mean_epochs=mean, curves=n, seconds=s, cpu=cpu, all_heads=s * heads / timed, all_cpu=cpu * heads / timed,
                             threads=torch.get_num_threads(), bf16=way == 'stack' and fast_bf16(), torch=torch.__version__))
    return pd.DataFrame(rows).round(3)

def bench_derived(head, rounds=4, T=11, b=256, d=64, dtype=torch.float32):
    "Processor seconds of forward and backward by hand and derived, each the median of `rounds`; `None` where a derived stack does not run"
    kind = HEADS[head]
    hand, seeds = kind.stack, [s for s in range(3) for _ in range(T if kind.by_point else 1)]
    stacks = [make(seeds, d, 10, dtype=dtype) for make in (hand, type('Derived', (HeadStack,), dict(single=kind.single)))]
    x, y = torch.randn(len(seeds), b, *(() if kind.by_point else (T,)), d), torch.randint(0, 10, (len(seeds), b))
    def step(stack, i):
        start = time.process_time()
        stack.at(i)
        F.cross_entropy(stack(x).flatten(0, 1), y.flatten()).backward()
        return time.process_time() - start
    try: took = [[step(s, i) for s in stacks] for i in range(rounds + 1)][1:]
    except RuntimeError: return None
    return np.median(took, axis=0)

if __name__ == '__main__':
    if sys.argv[1:] == ['derived']:
        torch.set_num_threads(1)
        for head in (h for h, kind in HEADS.items() if kind.stack and not kind.baseline):
            for dtype in (torch.float32, torch.bfloat16)[:1 + fast_bf16()]:
                took = bench_derived(head, dtype=dtype)
                print(head, dtype, 'no derived stack: vmap does not know its layers' if took is None else f'by hand {took[0]:.3f} s, derived {took[1]:.3f} s, {took[1] / took[0]:.2f} times as long')
    else:
        with atomic_path(OUT) as p: bench_stack().to_csv(p, index=False)
