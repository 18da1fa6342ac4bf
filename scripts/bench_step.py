"""Times the package's training step against the same step in plain PyTorch, in turns; writes nbs/results/bench_step.csv or another table.

Run it as `python scripts/bench_step.py` on an idle machine: turns of one step at the `paper` preset, ways plain, fp32 and bf16. The table of compiling was written by
`python scripts/bench_step.py --out nbs/results/bench_compile.csv --turns 3 --steps 2 --ways plain fp32 channels_last bf16 bf16+channels_last bf16+compile`.
On a GPU: `--device cuda --steps 30 --ways plain tf32 bf16 bf16+channels_last bf16+channels_last+compile`. Page 39 draws both tables, and tests that the two steps give the same numbers.
"""
import argparse, copy, time
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trajdrl.disk import atomic_path
from trajdrl.data import ImageData, to_dls
from trajdrl.diffusion import code_penalty, diffusion_learner
from trajdrl.encoder import sample_code
from trajdrl.run import make_networks
from trajdrl.settings import make_settings
from trajdrl.score import _Dropout

OUT = Path(__file__).parent.parent/'nbs'/'results'/'bench_step.csv' if '__file__' in globals() else None

def plain_loss(
    encoder:nn.Module, # E(x0, t)
    score:nn.Module, # s(xt, t, z)
    x0:torch.Tensor, # images in [-1, 1], (b, c, h, w)
    t:torch.Tensor, # times, (b,)
    eps:torch.Tensor, # noise of the images, (b, c, h, w)
    noise:torch.Tensor, # noise of the code (vdrl), (b, d)
    lambda_z:float=1e-5, # weight of the regulariser
) -> torch.Tensor: # mean over the batch
    "Equation 4 with its regulariser, by hand"
    low, high = score.sde.sigma_min, score.sde.sigma_max
    sigma = low * (high / low) ** t
    std = (sigma**2 - low**2).sqrt()[:, None, None, None]
    stats = encoder(x0, t)
    residual = std * score(x0 + std * eps, t, sample_code(stats, noise)) + eps
    return (0.5 * residual.pow(2).sum((1, 2, 3)) + lambda_z * code_penalty(stats)).mean()

def _filter(x, gain):
    "(c, 1, 4, 4)"
    k = torch.tensor([1., 3., 3., 1.], device=x.device, dtype=x.dtype) * (gain / 8)
    return (k[:, None] * k).expand(x.shape[1], 1, 4, 4)

def _conv_down(x):
    pad = F.pad(x, (1, 1 + x.shape[-1] % 2, 1, 1 + x.shape[-2] % 2), mode='replicate')
    return F.conv2d(pad, _filter(x, 1), stride=2, groups=x.shape[1])

def _conv_up(x, size):
    up = F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), mode='replicate'), _filter(x, 2), stride=2, padding=3, groups=x.shape[1])
    return up[..., :size[0], :size[1]]

@contextmanager
def plain_parts():
    "A context in which score networks filter by convolutions, and drop out as PyTorch does"
    with patch.multiple('trajdrl.score', _fir_down=_conv_down, _fir_up=_conv_up), patch.object(_Dropout, 'forward', nn.Dropout.forward): yield

def plain_step(
    nets:nn.ModuleList, # encoder and score network
    average:nn.ModuleList, # a copy of both, moved in place
    opt:torch.optim.Optimizer, # over the parameters of `nets`
    images:np.ndarray, # one batch, uint8 (b, h, w, c)
    n:int, # steps done
    clip:float=1., # largest gradient norm
    ema:float=0.999, # decay of the average
) -> torch.Tensor: # the loss
    "One training step as one would write it in plain PyTorch"
    device = next(nets.parameters()).device
    x0 = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous().to(device)
    t = 1e-5 + (1 - 1e-5) * torch.rand(len(x0), device=device)
    loss = plain_loss(*nets, x0, t, torch.randn_like(x0), torch.randn(len(x0), nets[0].d, device=device))
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(nets.parameters(), clip)
    opt.step()
    decay = min(ema, (1 + n) / (10 + n)) if n else 0.
    with torch.no_grad():
        for a, p in zip(average.parameters(), nets.parameters()): a.mul_(decay).add_(p, alpha=1 - decay)
    return loss.detach()

def random_images(
    n:int=256, # training images
    size:int=32, # height and width in pixels
    seed:int=0, # of the bytes
) -> ImageData:
    "Random bytes in place of a data set; one class"
    images = np.random.default_rng(seed).integers(0, 256, (n + 4, size, size, 3), dtype=np.uint8)
    splits = dict(train=slice(0, n), valid=slice(n, n + 2), test=slice(n + 2, n + 4))
    return ImageData('random', images, {'none': np.zeros(n + 4, dtype=np.int64)}, {'none': ['none']}, splits)

PARTS = 'fp32', 'tf32', 'bf16', 'channels_last', 'compile' # what the name of a way may be made of, joined by '+'; or 'plain'

def way_parts(way):
    "The parts of a way"
    parts = set(str(way).split('+'))
    assert parts == {'plain'} or not parts - set(PARTS) and not {'bf16', 'fp32'} <= parts, f"{way!r}: give 'plain', or a '+'-joined choice of {', '.join(PARTS)}"
    return parts

def fast_learner(
    way:str, # see `way_parts`
    settings, # of a run, from `make_settings`
    data:ImageData, # images to train on
    bs:int=64, # images in a batch
    device='cpu', # where it trains
    cbs=(), # more fastai callbacks
    **kwargs, # passed to `diffusion_learner`
):
    "The Learner of a run, with what the way's name says"
    parts = way_parts(way)
    encoder, score = make_networks(settings, data.channels, data.size)
    if 'compile' in parts: encoder.compile(), score.compile()
    formats = dict(bf16='bf16' in parts, channels_last='channels_last' in parts)
    return diffusion_learner(to_dls(data, bs, device=device), encoder, score, cbs=cbs, **formats, **kwargs)

PEAKS = dict(H100=989e12, H200=989e12, A100=312e12) # dense bfloat16 products, FLOP/s

def peak_flops(
    name:str, # of a device
) -> float: # FLOP/s; NaN where it is not known
    "The dense bfloat16 peak of a device"
    return next((v for k, v in PEAKS.items() if k in name), float('nan'))

def image_flops(
    encoder:nn.Module, # E(x0, t)
    score:nn.Module, # s(xt, t, z)
    size:int=32, # image side
) -> float:
    "Floating-point operations of the loss and its gradient, for one image"
    x = torch.zeros(1, score.channels, size, size, device=next(score.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        plain_loss(encoder, score, x, x[:, 0, 0, 0] + .5, x, x.new_zeros(1, encoder.d)).backward()
    return float(counter.get_total_flops())

class Stopwatch(Callback):
    "Times the training part of an epoch, or what lies between `start` and `stop`"
    order = 100
    def start(self): self.began = self._now()
    def stop(self): self.seconds, self.processor = (b - a for a, b in zip(self.began, self._now()))
    def before_train(self): self.start()
    def after_train(self): self.stop()
    def _now(self):
        if torch.cuda.is_initialized(): torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

def make_stepper(
    way:str, # see `way_parts`
    settings, # of a run, from `make_settings`
    data:ImageData, # images to train on
    bs:int, # images in a batch
    device='cpu', # where it trains
): # a function of the number of steps, which returns a stopped `Stopwatch`
    "What takes steps in one way"
    watch = Stopwatch()
    if way == 'plain': return _plain_stepper(watch, nn.ModuleList(make_networks(settings, data.channels, data.size)).to(device), data, bs)
    learn = fast_learner(way, settings, data, bs, device, [watch])
    precision = 'high' if 'tf32' in way_parts(way) else 'highest'
    def run(n):
        learn.dls.train.n_steps = n
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)
        try: learn.fit(1)
        finally: torch.set_float32_matmul_precision(before)
        return watch
    return run

def _plain_stepper(watch, nets, data, bs):
    "Plain steps over shuffled passes"
    average, opt = copy.deepcopy(nets), torch.optim.Adam(nets.parameters(), 2e-4, foreach=False)
    images = data.subset('train').images
    def run(n):
        rows = np.concatenate([np.random.permutation(len(images)) for _ in range(-(-n * bs // len(images)))])
        with plain_parts():
            watch.start()
            for i in range(n): plain_step(nets.train(), average, opt, images[rows[i * bs:(i + 1) * bs]], i)
            watch.stop()
        return watch
    return run

def bench_step(
    preset:str='paper', # networks of this preset, for cifar10
    bs:int=64, # images in a batch
    device='cpu', # where it trains
    out=None, # a CSV file to write the table to
    turns:int=10, # of all ways
    steps:int=1, # timed in each turn
    ways=('plain', 'fp32', 'bf16'), # 'plain', and names as of `way_parts`
    size:int=32, # image side
) -> pd.DataFrame: # one row a turn and way
    "Times the package's training step in several ways against the plain one, in turns"
    settings, data = make_settings('cifar10', preset), random_images(4 * bs, size)
    flops = image_flops(*make_networks(settings, 3, size), size)
    steppers = {w: make_stepper(w, settings, data, bs, device) for w in ways}
    for run in steppers.values(): run(1)
    rows = [_bench_row(turn, w, run(steps), steps, bs, flops, device) for turn in range(turns) for w, run in steppers.items()]
    df = pd.DataFrame(rows).assign(preset=preset, size=size)
    df.insert(4, 'ratio', df.images_per_s / df.turn.map(df[df.way == 'plain'].set_index('turn').images_per_s))
    df = df.round(dict(ms=1, images_per_s=1, ratio=3, given=2, tflops=4, peak_share=4))
    if out is not None:
        with atomic_path(out) as p: df.to_csv(p, index=False)
    return df

def _bench_row(turn, way, watch, steps, bs, flops, device):
    "One row of the table of `bench_step`"
    cuda, parts, threads = torch.device(device).type == 'cuda', way_parts(way), torch.get_num_threads()
    name, speed = torch.cuda.get_device_name(device) if cuda else 'cpu', steps * bs / watch.seconds
    return dict(turn=turn, way=way, ms=1000 * watch.seconds / steps, images_per_s=speed, given=watch.processor / watch.seconds / threads,
                tflops=speed * flops / 1e12, peak_share=speed * flops / peak_flops(name), bs=bs, steps=steps, threads=threads,
                device=name, torch=torch.__version__, **{p: p in parts for p in PARTS[1:]})

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for k, v in dict(preset='paper', bs=64, device='cpu', out=OUT, turns=10, steps=1, size=32).items(): p.add_argument(f'--{k}', type=type(v) if v != OUT else Path, default=v)
    p.add_argument('--ways', nargs='+', default=['plain', 'fp32', 'bf16'])
    print(bench_step(**vars(p.parse_args())).to_string())
