"""Faults on purpose: every stage and analysis of a tiny run is killed, cut off from power, short of disk, handed damaged files, run twice at once, with a clock that runs back.

    python scripts/faults.py # the whole suite, hours on one core; counts in nbs/results/faults.csv
    python scripts/faults.py --part 0.1 # every tenth point of it
    python scripts/faults.py --short # a minute, as in the tests

A case holds if the command, given again, ends with the tables, weights and codes of an undisturbed run, or, where a file was damaged, if one line names it or no result
has changed. Commands run in forks of this process (Linux). A fork counts its own file operations and ends itself before the n-th: the library has no hooks. In a power cut,
what was not synced is lost besides: bytes written since, and names given since.
"""
import argparse, builtins, io, os, random, shutil, signal, subprocess, sys, tempfile, time, warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
warnings.filterwarnings('ignore')
import numpy as np
import pandas as pd
import safetensors.torch
import timm.optim.muon # which training imports, in each fork anew if not here
import torch
from safetensors.torch import load_file
from trajdrl import cli
from trajdrl.disk import LIST, save_bytes

OUT = Path(__file__).parent.parent/'nbs'/'results'/'faults.csv'
RUN = ('trajdrl_run synthetic --out DIR --resume --size 8 --n_train 64 --n_test 32 --d 4 --depth 10 --base 8 --mults 1,2 --steps 12 --every 4 --bs 16 --warmup 2 --bf16 no '
       '--granularity 2 --tasks location,shape --epochs 2 --lrs 0.01 --curve_lrs 0.001 --head_seeds 2 --heads mlp,gru')
COMMANDS = dict(run=RUN, decode='trajdrl_decode DIR', mi='trajdrl_mi DIR --granularity 2 --estimators cka,ksg --seeds 1', separate='trajdrl_separate DIR --granularity 2 --pairs 8',
                attend='trajdrl_attend DIR --granularity 4 --seeds 1 --epochs 1', sweep='trajdrl_sweep DIR --granularity 2,4 --seeds 1 --epochs 1',
                baselines='trajdrl_baselines DIR --sources untrained --granularity 2',
                times='trajdrl_times DIR --granularity 4 --K 1,2 --methods uniform,greedy,learned --seeds 1 --epochs 1 --starts 1 --refine 2')
READS = { # file -> the command that reads it
    'config.json': 'run', 'log.csv': 'run', 'code_use.csv': 'run', 'results.csv': 'run', 'decode_error.csv': 'run', 'checkpoint/last.safetensors': 'decode', 'encoder/config.json': 'separate',
    'encoder/model.safetensors': 'separate', 'trajectory/store.json': 'separate', 'trajectory/codes.npy': 'separate', 'trajectory/labels.npy': 'separate', 'trajectory/stats.npy': 'separate',
    'mi.csv': 'mi', 'attention.csv': 'attend', 'sweep.csv': 'sweep', 'baseline_untrained.csv': 'baselines', 'times.csv': 'times', 'times_along.csv': 'times', LIST: 'separate', f'trajectory/{LIST}': 'separate'}

# One command in a fork

def call(name, folder, *arms): # exit code, or minus the signal; what it said on stderr
    "Runs a command on a folder, after `arms` have been put on the fork"
    said = Path(tempfile.mkstemp(dir=SPACE)[1])
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1), os.dup2(os.open(said, os.O_WRONLY | os.O_TRUNC), 2)
        sys.stderr = os.fdopen(2, 'w', buffering=1)
        for arm in arms: arm(Path(folder))
        prog, *argv = [w.replace('DIR', str(folder)) for w in COMMANDS[name].split()]
        code = 70
        try: code = getattr(cli, prog)(argv)
        except BaseException: import traceback; traceback.print_exc()
        finally: sys.stderr.flush(), os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = said.read_text(errors='replace').strip()
    said.unlink()
    return code, text

# Arms: what is done to a fork

class Dies:
    "Ends the process before its `n`-th operation on files of the folder; with `power`, what was not synced is lost"
    def __init__(self, n=None, power=False, count=None): self.n, self.power, self.count, self.done = n, power, count, 0

    def __call__(self, folder):
        self.folder, self.synced, self.names = folder.resolve(), {}, {}
        self.inside = lambda p: str(os.path.abspath(p)).startswith(str(self.folder))
        if self.power: self.synced = {p.stat().st_ino: p.read_bytes() for p in self.folder.rglob('*') if p.is_file()}
        writes = lambda a, k: any(c in (a[1] if len(a) > 1 else k.get('mode', 'r')) for c in 'wax+')
        self.wrap(builtins, 'open', lambda a, k: not isinstance(a[0], int) and writes(a, k) and a[0])
        io.open = builtins.open
        self.wrap(os, 'open', lambda a, k: len(a) > 1 and a[1] & (os.O_WRONLY | os.O_RDWR) and a[0])
        self.wrap(os, 'replace', lambda a, k: a[1], before=self.renames), self.wrap(os, 'rename', lambda a, k: a[1], before=self.renames)
        for f in 'unlink', 'remove', 'mkdir': self.wrap(os, f, lambda a, k: 'dir_fd' not in k and a[0])
        self.wrap(os, 'fsync', lambda a, k: os.readlink(f'/proc/self/fd/{a[0]}'), after=lambda a: self.syncs(os.readlink(f'/proc/self/fd/{a[0]}')))
        self.wrap(os, 'posix_fallocate', lambda a, k: os.readlink(f'/proc/self/fd/{a[0]}'))
        self.wrap(safetensors.torch, 'serialize_file', lambda a, k: a[1])
        self.wrap(np.memmap, 'flush', lambda a, k: a[0].filename, after=lambda a: self.syncs(a[0].filename))

    def wrap(self, module, name, path, before=None, after=None):
        real = getattr(module, name)
        def inner(*a, **k):
            p = path(a, k)
            if not p or isinstance(p, int) or not self.inside(p): return real(*a, **k)
            if self.done == self.n: self.die()
            self.done += 1
            if self.count: self.count.value = self.done
            if before and self.power: before(*a[:2])
            result = real(*a, **k)
            if after and self.power: after(a)
            return result
        setattr(module, name, inner)

    def renames(self, source, target):
        target = os.path.abspath(target)
        if target not in self.names: self.names[target] = Path(target).read_bytes() if os.path.isfile(target) else None
        if os.path.isdir(source): self.names[target] = 'folder'

    def syncs(self, path):
        if os.path.isdir(path): self.names = {k: v for k, v in self.names.items() if os.path.dirname(k) != os.path.abspath(path)}
        else: self.synced[os.stat(path).st_ino] = Path(path).read_bytes()

    def die(self):
        self.n = None
        if self.power:
            for p in self.folder.rglob('*'):
                if p.is_file() and (kept := self.synced.get(p.stat().st_ino, b'')) != p.read_bytes(): p.write_bytes(kept)
            for name, old in self.names.items(): shutil.rmtree(name) if old == 'folder' else Path(name).write_bytes(old) if old is not None else Path(name).unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)

def at_random(seconds): return lambda folder: (signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL)), signal.setitimer(signal.ITIMER_REAL, seconds))

def clock_back(folder):
    now = [time.time()]
    def back():
        now[0] -= 3600
        return now[0]
    time.time = back

# What a run is compared by

def results(folder):
    "What must not differ, by name"
    found = {}
    for p in sorted(Path(folder).rglob('*')):
        name = p.relative_to(folder).as_posix()
        if p.suffix == '.csv': found[name] = pd.read_csv(p, dtype=str).drop(columns=['images_per_s', 'seconds'], errors='ignore').to_csv() # but for how long it took
        elif p.suffix == '.safetensors': found[name] = {k: v.numpy().tobytes() for k, v in load_file(p).items()}
        elif p.suffix == '.npy': found[name] = p.read_bytes()
        elif '.part-' in name: found[name] = 'left over'
    return found

def differs(folder, want):
    have = results(folder)
    return [k for k in {*have, *want} if have.get(k) != want.get(k)]

class Suite:
    def __init__(self, space, part, seed, log):
        self.space, self.part, self.rng, self.log, self.tried, self.held = Path(space), part, random.Random(seed), log, Counter(), Counter()
        self.start, self.want, self.seconds, self.ops = {}, {}, {}, {}

    def reference(self, names):
        "Undisturbed runs: where each command starts, what it ends with, how long it takes, how many operations it does"
        import multiprocessing
        count, before = multiprocessing.Value('i'), self.space/'empty'
        before.mkdir()
        for name in ['run', *[n for n in names if n != 'run']]:
            self.start[name] = before if name == 'run' else self.space/'ref_run'
            folder, since = self.fresh(name, f'ref_{name}'), time.monotonic()
            code, said = call(name, folder, Dies(count=count))
            assert code == 0, said
            self.seconds[name], self.ops[name], self.want[name] = time.monotonic() - since, count.value, results(folder)
            print(f'{name}: {self.seconds[name]:.1f} s, {count.value} file operations', flush=True)

    def fresh(self, name, at='case'):
        folder = self.space/at
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.start[name], folder)
        return folder

    def case(self, kind, name, held, why=''):
        self.tried[kind, name] += 1
        self.held[kind, name] += bool(held)
        if not held: self.log.append(f'{kind}, {name}: {why}'), print(f'NOT HELD {kind}, {name}: {why}', flush=True)

    def goes_on(self, kind, name, folder, what):
        "Does the command, given again, end as an undisturbed one?"
        code, said = call(name, folder)
        wrong = differs(folder, self.want[name]) if code == 0 else said[-300:]
        self.case(kind, name, code == 0 and not wrong, f'{what}: {wrong}')

    def points(self, name, most=None):
        every = list(range(self.ops[name]))
        n = max(1, round(len(every) * self.part)) if most is None else most
        return sorted(self.rng.sample(every, min(n, len(every))))

    def kills(self, names, power=False, most=None):
        kind = 'power cut before a file operation' if power else 'SIGKILL before a file operation'
        for name in names:
            for n in self.points(name, most):
                folder = self.fresh(name)
                call(name, folder, Dies(n, power))
                self.goes_on(kind, name, folder, f'operation {n}')

    def random_kills(self, n):
        for i in range(n):
            folder = self.fresh('run')
            for _ in range(self.rng.randint(1, 3)): call('run', folder, at_random(self.rng.uniform(.01, self.seconds['run'])))
            self.goes_on('SIGKILL at random, up to three times', 'run', folder, f'case {i}')

    def clocks(self, names):
        for name in names:
            folder = self.fresh(name)
            code, said = call(name, folder, clock_back)
            self.case('clock that runs back', name, code == 0 and not differs(folder, self.want[name]), said[-300:])

    def damage(self, names, each):
        "Cut, flipped and swapped files"
        other = self.fresh('run', 'other')
        code, said = call('run', other, lambda _: COMMANDS.update(run=RUN + ' --seed 1'))
        assert code == 0, said
        for file, name in READS.items():
            ref = self.space/(f'ref_{name}' if name in self.want else 'ref_run')
            if name not in names or not (ref/file).exists(): continue
            for how in [h for h in ('cut', 'flipped', 'swapped') for _ in range(each)]:
                folder = self.space/'case'
                shutil.rmtree(folder, ignore_errors=True), shutil.copytree(ref, folder)
                good, at = (folder/file).read_bytes(), self.rng.randrange(len((folder/file).read_bytes()))
                if how == 'swapped' and not (other/file).exists(): continue
                bad = dict(cut=lambda: good[:at], flipped=lambda: good[:at] + bytes([good[at] ^ 1 << self.rng.randrange(8)]) + good[at+1:], swapped=lambda: (other/file).read_bytes())[how]()
                if bad == good: continue
                (folder/file).write_bytes(bad)
                code, said = call(name, folder)
                seen = code == 2 and len(said.splitlines()) == 1 and (file.split('/')[-1] in said or LIST in said)
                harmless = code == 0 and not [k for k in differs(folder, self.want[name]) if k != file]
                self.case(f'file {how}', name, seen or harmless, f'{file} at {at}: {code} {said[-300:]}')

    def twice(self, n):
        for i in range(n):
            folder, pid = self.fresh('run'), os.fork()
            if not pid: os._exit(call('run', folder)[0])
            while not (folder/'config.json').exists(): time.sleep(.01)
            time.sleep(self.rng.uniform(0, .5 * self.seconds['run']))
            code, said = call('run', folder)
            first = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            refused = code == 2 and 'in use by another process' in said and len(said.splitlines()) == 1
            wrong = differs(folder, self.want['run'])
            self.case('two processes', 'run', first == 0 and (refused or code == 0) and not wrong, f'{first}, {code} {said[-200:]} {wrong}')

    def full_disks(self, names, n):
        with small_disk(self.space/'disk') as resize:
            for name in names:
                start = sum(p.stat().st_size for p in self.start[name].rglob('*') if p.is_file())
                total = sum(p.stat().st_size for p in (self.space/f'ref_{name}').rglob('*') if p.is_file())
                for _ in range(n):
                    size = int(start + self.rng.uniform(.02, .98) * (total - start)) + 4096 * len(list(self.start[name].rglob('*')))
                    resize(64 << 20)
                    folder = self.fresh(name, 'disk/case')
                    if not resize(size): continue
                    code, said = call(name, folder)
                    line = code == 2 and len(said.splitlines()) == 1 and 'no room for' in said and 'needs' in said
                    resize(64 << 20)
                    if code == 0: continue # it had room
                    if not line: self.case('full disk', name, False, f'{size} bytes: {code} {said[-400:]}')
                    else: self.goes_on('full disk', name, folder, f'{size} bytes, {said[-150:]}')

@contextmanager
def small_disk(at):
    "A file system in memory whose size can be set; `None` where that is not allowed"
    at.mkdir()
    mount = lambda *a: subprocess.run(['mount', '-t', 'tmpfs', *a, 'tmpfs', str(at)], capture_output=True).returncode == 0
    if not mount('-o', 'size=64m'):
        print('full disk: left out, this user may not mount a file system')
        yield lambda size: False
        return
    try: yield lambda size: mount('-o', f'remount,size={max(4096, size)}')
    finally: subprocess.run(['umount', str(at)])

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--short', action='store_true', help='a minute of it')
    p.add_argument('--part', type=float, default=1., help='share of the file operations to die at')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--out', default=OUT, help='table of the counts')
    p.add_argument('--kinds', default='clock,damage,twice,full,random,kill,power')
    p.add_argument('--commands', default=','.join(COMMANDS))
    args = p.parse_args()
    torch.set_num_threads(1)
    global SPACE
    with tempfile.TemporaryDirectory() as SPACE:
        suite, start = Suite(SPACE, args.part, args.seed, []), time.monotonic()
        names = ['run', 'separate'] if args.short else args.commands.split(',')
        suite.reference(names)
        few = args.short
        n = lambda short, whole: short if few else max(1, round(args.part * whole))
        todo = dict(clock=lambda: suite.clocks(names[:1] if few else names), damage=lambda: suite.damage(['separate'] if few else names, n(1, 10)), twice=lambda: suite.twice(n(1, 30)),
                    full=lambda: suite.full_disks(names[:1] if few else names, n(1, 10)), random=lambda: suite.random_kills(n(1, 100)),
                    kill=lambda: suite.kills(names[:1] if few else names, most=1 if few else None), power=lambda: suite.kills(names[:1] if few else names, True, 1 if few else None))
        for kind in args.kinds.split(','):
            todo[kind]()
            print(f'{kind} after {(time.monotonic() - start) / 60:.1f} min', flush=True)
    table = pd.DataFrame([dict(fault=k, command=c, tried=n, held=suite.held[k, c]) for (k, c), n in suite.tried.items()])
    print(table.groupby('fault', sort=False)[['tried', 'held']].sum().to_string())
    if not few: save_bytes(args.out, table.assign(minutes=round((time.monotonic() - start) / 60, 1), part=args.part, seed=args.seed).to_csv(index=False))
    return int((table.tried > table.held).any())

if __name__ == '__main__': sys.exit(main())
