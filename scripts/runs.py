"""Makes the runs behind the pages of results: `python scripts/runs.py --runs DIR`, resumed by the same line.

Jobs are taken in order, each once, by as many of these processes as one starts; a job that fails is told and passed over. Each job is a list of trajdrl's commands
on a folder below `--runs`; its output goes to `queue.log` there, with times. What is finished (tables, settings, log, the encoder and score network in half precision)
is copied to `--results` after every command; checkpoints and curves are not. Where a run's folder is lost, it is made again from there, with the encoder in half precision.

The first three encoders (`small`, DRL, seed 0) were trained with the package as it was at commit b2f2ec5; what was rebuilt after that trains to the same bit.
CIFAR10's heads read its curves as the encoder in half precision makes them.
The logs of those of CIFAR10 and Colored-MNIST held training losses for validation losses; the last one was computed anew from the packaged networks, the others are left out.
"""
import argparse, fcntl, json, shutil, subprocess, sys, time
from pathlib import Path

from trajdrl.disk import LIST

GRIDS = '1,2,5,7,10,17,25,37,50'
SETS, KINDS = ('synthetic', 'colored_mnist', 'cifar10'), ('drl', 'vdrl')
HARD = dict(synthetic='shape', colored_mnist='digit', cifar10='class') # of codes of 16 dimensions and more; smaller ones hold a colour at most
ALL = dict(synthetic='background,foreground,location,shape', colored_mnist='digit,background,foreground', cifar10='class')

def start(out, dataset, preset, **settings):
    "The command that trains, encodes, probes and reports"
    return ['trajdrl_run', dataset, '--out', out, '--preset', preset, *(w for k, v in settings.items() for w in (f'--{k}', str(v)))]

def small(dataset, kind, seed, **more):
    "A run of `small` with all analyses; with DRL on Synthetic all kinds of heads, and all tasks by granularity, otherwise three kinds and the hardest task; VDRL's heads are kept to that, but where attention is asked for"
    name = f"small/{dataset}_{kind}_{seed}" + ''.join(f'_{k}{v}' for k, v in more.items())
    some, grids = ['--n_train', '6000', '--n_test', '2000'], ['--granularity', GRIDS]
    looked = ['--seeds', '3']
    if kind == 'vdrl': more['tasks'], looked = HARD[dataset], looked + ['--tasks', ALL[dataset]]
    if (dataset, kind) != ('synthetic', 'drl'): # all heads, tasks and grids would take hours
        more['heads'], grids = 'mlp,mlp_joined,gru', ['--granularity', '1,2,5,10', '--tasks', HARD[dataset]]
    then = [['trajdrl_baselines'], ['trajdrl_attend', *some, *looked], ['trajdrl_separate'], ['trajdrl_mi', '--estimators', 'ksg,cka', '--n', '2000', '--seeds', '3'],
            ['trajdrl_sweep', *some, *grids, '--heads', 'transformer'], ['trajdrl_mi', '--estimators', 'mine_paper', '--n', '2000', '--seeds', '1']]
    return name, [start(name, dataset, 'small', kind=kind, seed=seed, **more), *([c[0], name, *c[1:]] for c in then)]

def factorial(dataset, weighting, scale, pool, d, seed):
    "A cell of the page on what makes a curve know more than its points"
    name = f'factorial/{dataset}_{weighting}_{scale}_{pool}_{d}_{seed}'
    ended = dict(heads='mlp,gru,mlp_joined', epochs=80, patience=4) # `quick` stops heads at 24 epochs, some of them still rising
    return name, [start(name, dataset, 'quick', weighting=weighting, fourier_scale=scale, pool=pool, d=d, seed=seed, **ended), ['trajdrl_mi', name, '--estimators', 'cka', '--n', '2000', '--seeds', '1']]

def with_times(job):
    "The run of a job, asked for learned times: all ways to choose read by an MLP, then most of them by the other heads too"
    (name, commands), some = job, ['--n_train', '6000', '--n_test', '2000']
    more = ['--heads', 'mlp_joined,mlp_shared,transformer', '--methods', 'uniform,label_free,greedy,attention,learned,conditioned']
    return name, [commands[0], ['trajdrl_times', name, *some], ['trajdrl_times', name, *some, *more]]

SEVERAL = dict(synthetic='foreground,location,shape', colored_mnist='digit,foreground', cifar10='class')

def where(dataset, kind, d, seed):
    "Where heads look at a code of `quick`, four ways to choose times for one task, and what a finer grid brings; with two dimensions three more ways and a second head; with 16 also one model for several tasks"
    name, few = f'where/{dataset}_{kind}_{d}_{seed}', ['--n_train', '4000', '--n_test', '2000']
    task = HARD[dataset] if d > 8 else 'foreground'
    one = ['trajdrl_times', name, *few, '--K', '1,2,3,5', '--methods', 'uniform,label_free,greedy,learned', '--tasks', task]
    several = ['trajdrl_times', name, *few, '--K', '2,3', '--methods', 'learned,conditioned', '--heads', 'mlp_joined,mlp_shared', '--tasks', SEVERAL[dataset]]
    others = ['trajdrl_times', name, *few, '--K', '1,2,3,5', '--methods', 'attention,variable', '--tasks', task]
    second = ['trajdrl_times', name, *few, '--K', '2,3', '--methods', 'uniform,learned', '--heads', 'transformer', '--tasks', task]
    drawn = ['trajdrl_times', name, *few, '--K', '1,2,3,5', '--methods', 'random', '--tasks', task]
    looked = ['trajdrl_attend', name, '--granularity', '5,10', '--n_train', '3000', '--n_test', '2000', '--seeds', '3']
    grids, read = '1,2,5,10' + ',25,50' * ((d, kind) == (2, 'drl')), SEVERAL[dataset] if d > 8 else 'foreground'
    finer = ['trajdrl_sweep', name, '--n_train', '3000', '--n_test', '2000', '--granularity', grids, '--tasks', read, '--heads', 'transformer', '--epochs', '80', '--patience', '4']
    chosen = [] if d in (8, 32) else [one] + [others, second, drawn] * (d == 2) + [several] * (d == 16)
    return name, [['trajdrl_train', *start(name, dataset, 'quick', kind=kind, d=d, seed=seed)[1:]], looked, *chosen, finer]

def first(dataset, kind):
    "The main job as a newcomer runs it, and beside DRL what the same heads read without a trained encoder"
    name = f'quick/{dataset}_{kind}'
    return name, [start(name, dataset, 'quick', kind=kind), *[['trajdrl_baselines', name]] * (kind == 'drl')]

LONG_STEPS = 2500, 5000, 10_000, 20_000
PAPER_ON_MUON = dict(kind='drl', optimizer='muon', lr=.02, warmup=100, schedule='constant', bs=64, every=250, granularity=10, epochs=60, patience=4,
                     head_seeds=3, lrs='8e-3,2e-3', curve_lrs='3e-3,1e-3', heads='mlp,gru,transformer')

JOBS = [small(ds, k, 0) for ds in SETS for k in KINDS]
JOBS += [factorial('synthetic', w, f, p, d, 0) for d in (64, 2, 16) for w in ('edm', 'paper') for f in (1, 16) for p in (4, 0)]
JOBS += [factorial('colored_mnist', w, f, 4, 64, 0) for w in ('edm', 'paper') for f in (1, 16)]
JOBS += [small(ds, k, s) for s in (1, 2) for ds in SETS for k in KINDS]
JOBS += [factorial('synthetic', w, f, p, 64, 1) for w in ('edm', 'paper') for f in (1, 16) for p in (4, 0)]
JOBS += [small('cifar10', 'drl', 0, d=128)]
JOBS += [where(ds, k, d, s) for k in KINDS for ds in SETS[:2] for d in (2, 16, 4, 64) for s in (0, 1, 2)]
JOBS += [where('cifar10', 'drl', 64, s) for s in (0, 1, 2)]
JOBS += [where(ds, k, d, 0) for d in (32, 8) for k in KINDS for ds in SETS[:2]]
JOBS += [first(ds, k) for k in KINDS for ds in SETS]
JOBS += [with_times(small(ds, k, s)) for s in (0, 1, 2) for ds in SETS for k in KINDS]
LONG = [(f'long/cifar10_drl_{n}', [start(f'long/cifar10_drl_{n}', 'cifar10', 'paper', steps=n, **PAPER_ON_MUON)]) for n in LONG_STEPS]

def copy(run, to):
    "Copies what a run has finished, those of its other code dimensions included"
    for f in run.rglob('*'):
        kept = f.suffix in ('.csv', '.json') and f.name != LIST or f.name == 'encoder.safetensors'
        if f.is_file() and kept and not {'checkpoint', 'trajectory', 'curves', 'figures', 'encoder'} & set(f.relative_to(run).parts):
            place = to/f.name if f.suffix == '.safetensors' else to/f.relative_to(run)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(f, place)

def extend(runs, name):
    "A longer run begins where the shorter one ended: at a constant learning rate it is the same training"
    stem, n = name.rsplit('_', 1)
    shorter = [m for m in LONG_STEPS if m < int(n)]
    if not shorter or (runs/name).exists() or not (old := runs/f'{stem}_{shorter[-1]}').exists(): return
    part = runs/f'{name}.part'
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(old/'checkpoint', part/'checkpoint'), shutil.copyfile(old/'log.csv', part/'log.csv')
    config = json.loads((old/'config.json').read_text())
    config['settings']['steps'], config['command'] = int(n), config['command'].replace(str(shorter[-1]), n)
    for stage in config['stages'].values(): stage['finished'] = False
    (part/'config.json').write_text(json.dumps(config, indent=1))
    part.rename(runs/name)

def keep_networks(folder):
    "Leaves the averaged networks of a finished training in half precision, in `pretrained`"
    from safetensors.torch import save_file
    from trajdrl.run import Run
    (folder/'pretrained').mkdir(exist_ok=True)
    for name, net in zip(('encoder', 'score'), Run(folder, device='cpu').networks()):
        save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, folder/'pretrained'/f'{name}.safetensors')

def kept_encoder(run, file):
    "The encoder of a run from a file of `keep_networks`"
    from safetensors.torch import load_file
    from trajdrl.run import make_networks
    encoder = make_networks(run.settings, run.config['data']['channels'], run.config['data']['size'])[0]
    encoder.load_state_dict({k: v.float() for k, v in load_file(file).items()})
    return encoder

def restore(folder, kept):
    "Makes the folder of a run again from what was copied: tables, record, and the encoder in half precision"
    from trajdrl.run import Run
    config = json.loads((kept/'config.json').read_text())
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    (folder/'pretrained').mkdir(), (folder/'encoder.safetensors').rename(folder/'pretrained'/'encoder.safetensors')
    kept_encoder(Run(folder), folder/'pretrained'/'encoder.safetensors').save_pretrained(folder/'encoder')
    config['stages']['encode']['finished'] = False
    (folder/'config.json').write_text(json.dumps(config, indent=1))

def do(name, commands, runs, results):
    "Runs the commands of a job that are not done yet; whether all of them are"
    folder, kept = runs/name, results/name
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = runs/'done'/name.replace('/', '__')
    done.parent.mkdir(exist_ok=True)
    finished = json.loads((kept/'finished.json').read_text()) if (kept/'finished.json').exists() else []
    if (kept/'encoder.safetensors').exists() and not folder.exists() and any(c not in finished for c in commands): restore(folder, kept)
    for i, words in enumerate(commands):
        if words in finished: continue
        began = time.strftime('%Y-%m-%d %H:%M:%S')
        print(began, *words, flush=True)
        with open(done.with_suffix('.log'), 'a') as log:
            print('\n$', began, *words, file=log, flush=True)
            code = subprocess.run([str(Path(sys.executable).parent/words[0]), *words[1:], '--resume'], cwd=runs, stdout=log, stderr=log).returncode
        if code:
            print(time.strftime('%Y-%m-%d %H:%M:%S'), f'FAILED ({code}):', *words, flush=True)
            return False
        if i == 0 and not (folder/'pretrained').exists(): keep_networks(folder)
        copy(folder, kept)
        finished.append(words)
        (kept/'finished.json').write_text(json.dumps(finished, indent=1))
    return True

def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--runs', type=Path, required=True), p.add_argument('--results', type=Path, required=True)
    p.add_argument('--long', action='store_true', help='the long run, instead of the others')
    args = p.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    for name, commands in LONG if args.long else JOBS:
        with open(args.runs/f'.{name.replace("/", "__")}.lock', 'w') as lock:
            try: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError: continue # another of these processes is at it
            if args.long: extend(args.runs, name)
            if not do(name, commands, args.runs.absolute(), args.results.absolute()) and args.long: break # the next goes on from it

if __name__ == '__main__': main()
