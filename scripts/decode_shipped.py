"""Decodes test images with the networks that ship, for the page on samples: `python scripts/decode_shipped.py`, minutes on a core.

Writes decodes.png, mixes.png and decode_error.csv beside the tables of the runs that these networks come from, as `trajdrl_decode` does for a run of one's own.
"""
import argparse
from pathlib import Path

from trajdrl.all import *
from trajdrl.data import to_float
from trajdrl.disk import load_json, save_bytes
from trajdrl.sampling import decode_errors, decode_mixes, decode_parts, save_rows

RESULTS = Path(__file__).resolve().parents[1]/'nbs/results/0.2/small'

def decode_shipped(name, out, n=64, steps=50, drawn=8):
    "The first test images of the run behind a packaged encoder, decoded from points, from the whole curve, and from two curves mixed"
    s = load_json(RESULTS/f'{name.replace("-", "_")}_0'/'config.json')['settings']
    x0 = to_float(load_data(s['dataset'], size=s['size'], n_train=s['n_train'], n_test=s['n_test'], seed=s['data_seed']).subset('test').images[:n])
    encoder, score = Encoder.from_pretrained(name).eval(), ScoreNet.from_pretrained(name).eval()
    parts, mixes = decode_parts(score, encoder, x0, n=steps), decode_mixes(score, encoder, x0[:drawn], x0[:drawn].roll(1, 0), n=steps)
    out.mkdir(parents=True, exist_ok=True)
    save_bytes(out/'decode_error.csv', decode_errors(parts).to_csv(index=False))
    save_rows(out/'decodes.png', {k: v[:drawn] for k, v in parts.items()}), save_rows(out/'mixes.png', mixes)

if __name__ == '__main__':
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name in ('synthetic-drl', 'colored-mnist-drl', 'cifar10-drl'): decode_shipped(name, RESULTS/f'{name.replace("-", "_")}_0')
