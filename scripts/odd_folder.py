"""Runs trajdrl_run on a folder of images of all kinds, a twelfth of them damaged, and says whether its report tells what was read and what was not.

Usage: python scripts/odd_folder.py [--n 2000] [--out DIR]
The networks are trained for a few steps: it is about the reading. DIR must be new; a temporary folder that is removed in the end if it is not given.
"""
import argparse, html, sys, tempfile, time
from pathlib import Path

from trajdrl.cli import trajdrl_run
from trajdrl.disk import load_json
from trajdrl.test_utils import odd_folder

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument('--n', type=int, default=2000, help='images [2000]')
p.add_argument('--out', help='a new folder for the images and the run')
args = p.parse_args()

FEW = ('--size 16 --d 4 --depth 10 --base 8 --mults 1,2 --steps 4 --every 2 --bs 16 --warmup 2 --bf16 no --granularity 2 --n_train none '
       '--heads mlp,gru --gru_dim 4 --epochs 2 --lrs 1e-2 --curve_lrs 1e-2 --head_seeds 2 --skip_damaged yes').split()
shown = lambda o: str(o).encode(errors='backslashreplace').decode()

with tempfile.TemporaryDirectory() as tmp:
    out = Path(args.out or tmp)
    made, start = odd_folder(out/'$odd_{ 花', args.n), time.time()
    code = trajdrl_run([str(out/'$odd_{ 花'), *FEW, '--out', str(out/'run')])
    seconds = time.time() - start
    if code: sys.exit(f'trajdrl_run ended with code {code}')
    rows, page = load_json(out/'run'/'config.json')['data']['rows'], html.unescape((out/'run'/'report.html').read_text(encoding='utf-8'))
    told = sum(shown(o) in page for o in made['bad'])
    print(f'{sum(rows.values())} of {args.n} images read in {seconds:.0f} s with the run; the report names {told} of {len(made["bad"])} that cannot be, and {len(made["twice"])} that are there twice')
    wrong = [o for o in made['good'] if f'{shown(o)} cannot be read' in page]
    ok = told == len(made['bad']) and not wrong and sum(rows.values()) == args.n - told and f'the same image in two splits, {len(made["twice"])} times' in page
    if not ok: sys.exit('that is not what is in the folder')
