"""Puts the networks of finished runs into the package: `python scripts/ship_encoders.py RUN [RUN ...]`.

Takes of each run its record and the averaged networks in half precision that `scripts/runs.py` left in `pretrained`, and writes `trajdrl/pretrained/DATASET-KIND`: encoder, score network and a card.
"""
import argparse, json, shutil
from pathlib import Path

from safetensors.torch import load_file
from trajdrl.card import run_card
from trajdrl.run import make_networks
from trajdrl.settings import Settings

HOME = Path(__file__).parent.parent/'trajdrl'/'pretrained'
ABOUT = ' With its score network, in half precision.'
LIMITS = '- One encoder of one seed, small and trained for minutes on a processor: for trying things out, not for records. What it does with other kinds of images was not measured.'

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
    (HOME/name/'README.md').write_text(run_card(run, name=name, licence='apache-2.0', about=ABOUT, more=[LIMITS]), encoding='utf-8')
    print(HOME/name)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('runs', nargs='+', type=Path)
    for run in p.parse_args().runs: ship(run)
