"""Decodes test images with the networks that ship, for the page on samples: `python scripts/decode_shipped.py`, minutes on a core.

Writes decodes.png, mixes.png and decode_error.csv beside the tables of the runs that these networks come from, as `trajdrl_decode` does for a run of one's own.
"""
import argparse
from pathlib import Path

from trajdrl.all import *
from trajdrl.data import to_float
from trajdrl.disk import load_json
from trajdrl.sampling import write_decodes

RESULTS = Path(__file__).resolve().parents[1]/'nbs/results/0.2/small'

def decode_shipped(name):
    "The first test images of the run behind a packaged encoder, decoded from points, from the whole curve, and from two curves mixed"
    run = RESULTS/f'{name.replace("-", "_")}_0'
    s = load_json(run/'config.json')['settings']
    x0 = to_float(load_data(s['dataset'], size=s['size'], n_train=s['n_train'], n_test=s['n_test'], seed=s['data_seed']).subset('test').images[:64])
    write_decodes(run, ScoreNet.from_pretrained(name).eval(), Encoder.from_pretrained(name).eval(), x0)

if __name__ == '__main__':
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name in ('synthetic-drl', 'colored-mnist-drl', 'cifar10-drl'): decode_shipped(name)
