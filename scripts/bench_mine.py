"""The matrix of all pairs by the paper's MINE, as a stack and one pair after another; in nbs/results/bench_mine.csv.

66 pairs of an 11-point grid, 10,000 codes of 64 dimensions, one seed. The plain way needs 363 fits: all 121 ordered pairs, and for each the information and two entropies. Every pass
over the codes costs the same, so some of the 100 passes are timed, and of the plain fits a sample; `matrix` scales the seconds up. Turns alternate, so that whatever else the machine
does falls on all ways, and `given` is the share of its threads' time that the process really had. Takes some minutes. Drawn on page 38.
"""
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from trajdrl.core import fast_bf16
from trajdrl.disk import Table
from trajdrl.mine import estimate
from trajdrl.test_utils import forgetting_codes

OUT = Path(__file__).parent.parent/'nbs'/'results'/'bench_mine.csv'

def plain(x, y, seed=0, passes=100, bs=256, lr=1e-4, rate=.01, last=100): # (n, d), (n, d) -> nats
    "The paper's MINE for one pair, as one would write it"
    torch.manual_seed(seed)
    net, average, values = nn.Sequential(nn.Linear(2*x.shape[1], 256), nn.ELU(), nn.Linear(256, 256), nn.ELU(), nn.Linear(256, 1)), 1., []
    opt = torch.optim.Adam(net.parameters(), lr)
    for _ in range(passes):
        for rows in torch.randperm(len(x))[:len(x) // bs * bs].view(-1, bs):
            joint, other = net(torch.cat([x[rows], y[rows]], 1)).mean(), net(torch.cat([x[rows], y[rows[torch.randperm(bs)]]], 1)).exp().mean()
            average = (1 - rate) * average + rate * other.detach()
            values.append((joint - other.log()).detach())
            opt.zero_grad(), (other / average - joint).backward(), opt.step()
    return torch.stack(values[-last:]).mean().item()

def bench(out=OUT, n=10_000, d=64, T=11, passes=3, sample=8, rounds=3, group=12):
    "One row a turn and way: seconds, and seconds for the matrix; `sample` plain fits are timed of 3 T^2, `group` members are trained together"
    Path(out).unlink(missing_ok=True)
    codes, (i, j), table = forgetting_codes(T, d, n)[0], np.triu_indices(T), Table(out)
    z = torch.from_numpy(codes).transpose(0, 1).contiguous()
    stack = lambda dtype: estimate('mine_paper', codes, i, j, [0]*len(i), 'cpu', dtype, group, passes=passes)
    ways = {'stack, bfloat16': partial(stack, torch.bfloat16)} if fast_bf16() else {}
    ways['stack, float32'] = partial(stack, torch.float32)
    ways['one by one'] = lambda: [plain(z[k % T], z[k * k % T], k, passes) for k in range(sample)]
    plain(z[0, :256], z[1, :256], passes=1) # the first use of an optimiser imports half of PyTorch
    for turn, way in product(range(rounds), ways):
        timed, fits = (sample, 3*T*T) if way == 'one by one' else (len(i), len(i))
        start, cpu, threads = time.perf_counter(), time.process_time(), torch.get_num_threads()
        ways[way]()
        s, given = time.perf_counter() - start, (time.process_time() - cpu) / threads
        row = dict(turn=turn, way=way, timed=timed, fits=fits, passes=passes, seconds=s, matrix=s * 100/passes * fits/timed,
                   codes=n, d=d, threads=threads, given=given / s, torch=torch.__version__)
        table.add(pd.DataFrame([row]).round(3))
    return table.rows

if __name__ == '__main__': print(bench())
