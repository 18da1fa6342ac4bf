"""Puts the networks of finished runs into the package: `python scripts/ship_encoders.py RUN [RUN ...]`.

Takes of each run its record and the averaged networks in half precision that `scripts/runs.py` left in `pretrained`, and writes `trajdrl/pretrained/DATASET-KIND`: encoder, score network and a card.
"""
import argparse, json, shutil
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file
from trajdrl.run import make_networks
from trajdrl.settings import Settings
from trajdrl.results import summarise

HOME = Path(__file__).parent.parent/'trajdrl'/'pretrained'
LICENCES = dict(synthetic='drawn by this package', colored_mnist='MNIST (Creative Commons BY-SA 3.0), coloured by this package', cifar10='CIFAR-10 (no licence is stated by its authors; for research)')

def accuracies(run):
    "Lines of the card: each task's best point and best curve head, chosen on validation images"
    s = summarise(pd.read_csv(run/'results.csv', dtype=dict(time=str)))
    yield '| task | chance % | best point: test % | best head on the curve: test % |\n| --- | --- | --- | --- |'
    for task, g in s.groupby('task', sort=False):
        point, curve = (h.loc[h.valid_acc.idxmax()] for h in (g[g.time != 'curve'], g[g.time == 'curve']))
        yield f"| {task} | {100*point.chance:.1f} | {100*point['mean']:.1f} ({point['head']}, t = {point.time}) | {100*curve['mean']:.1f} ({curve['head']}) |"

def card(name, run, config):
    "The card of one encoder"
    s, d, log = config['settings'], config['data'], pd.read_csv(run/'log.csv')
    facts = [f'---\nlibrary_name: trajdrl\nlicense: apache-2.0\ntags: [representation-learning, diffusion]\n---\n# {name}\n',
             f"An encoder E(x0, t) of images of {d['size']}x{d['size']} pixels: a code of dimension {s['d']} for every diffusion time t in [0, 1]. With its score network, in half precision.\n",
             f"```python\nfrom trajdrl.encoder import Encoder\nfrom trajdrl.trajectory import encode\ncurves = encode(Encoder.from_pretrained('{name}'), images) # (n, 11, {s['d']})\n```\n",
             f"- Trained on {d['rows']['train']:,} images of {d['name']}, without labels, by {log.step.iloc[-1]:,} steps of `trajdrl_run {d['name']} --preset {s['preset']} --kind {s['kind']} --seed {s['seed']}`; validation loss {log.valid_loss.iloc[-1]:.1f}.",
             f"- Images: {LICENCES[d['name']]}. Weights: Apache 2.0.",
             '- One encoder of one seed, small and trained for minutes on a processor: for trying things out, not for records. What it does with other kinds of images was not measured.\n']
    return '\n'.join([*facts, *(accuracies(run) if (run/'results.csv').exists() else []), ''])

def ship(run):
    "One run's networks"
    config = json.loads((run/'config.json').read_text())
    s = Settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in config['settings'].items()})
    name = f"{s.dataset.replace('_', '-')}-{s.kind}"
    shutil.rmtree(HOME/name, ignore_errors=True)
    for net, part in zip(make_networks(s, config['data']['channels'], config['data']['size']), ('encoder', 'score')):
        net.load_state_dict({k: v.float() for k, v in load_file(run/'pretrained'/f'{part}.safetensors').items()})
        net.half().save_pretrained(HOME/name/net.part)
        (HOME/name/net.part/'model.safetensors').chmod(0o644)
        (HOME/name/net.part/'README.md').unlink()
    (HOME/name/'README.md').write_text(card(name, run, config), encoding='utf-8')
    print(HOME/name)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('runs', nargs='+', type=Path)
    for run in p.parse_args().runs: ship(run)
