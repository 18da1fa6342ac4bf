"""Gives every door good numbers in odd forms, and bad ones, and counts what comes back.

Usage: python scripts/fuzz.py [--n 10000] [--seed 0] [--out nbs/results/fuzz.csv]
A case is right (what the plain form gives), clear (bad, and refused by one line with cause and remedy), refused (the same, but it was good), other (another
exception) or wrong (without a word).
Case i of a seed is the same every time: `python scripts/fuzz.py --only 123` shows it in full.
"""
import argparse, json, shutil, sys, tempfile, warnings
from collections import Counter
from functools import cache, partial
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from trajdrl.attention import attend, jsd
from trajdrl.core import as_times, hash_arrays, mean_interval
from trajdrl.disk import load_json
from trajdrl.curve import chord_length, cka_matrix, component_shares, interpolation_errors, span_times
from trajdrl.data import ImageData, to_float
from trajdrl.downstream import probe
from trajdrl.encoder import Encoder
from trajdrl.heads import standardise
from trajdrl.information import mi_table
from trajdrl.mine import estimate
from trajdrl.run import Run
from trajdrl.separation import separation
from trajdrl.settings import make_settings
from trajdrl.sources import store_from_arrays
from trajdrl.standard import knn_scores, linear_scores
from trajdrl.trajectory import TrajectoryStore, encode

tmp, number = Path(tempfile.mkdtemp()), count()
def fresh(): return tmp/f'{next(number)}'

# The same numbers in other forms: name -> (what is given, the plain array that it stands for)
def strided(a): return np.repeat(a, 2, 0)[::2]
def read_only(a): a = a.copy(); a.flags.writeable = False; return a
def mapped(a): np.save(path := f'{fresh()}.npy', a); return np.load(path, mmap_mode='r')
same = lambda f: lambda a: (f(a), a)
def rounded(to): return lambda a: (h := to(torch.tensor(a)), h.float().numpy())

FORMS = dict(plain=same(lambda a: a), big=same(lambda a: a.astype('>f4')), double=same(lambda a: a.astype(float)), big_double=same(lambda a: a.astype('>f8')),
             reversed=same(lambda a: a[::-1].copy()[::-1]), mirrored=same(lambda a: a[..., ::-1].copy()[..., ::-1]), fortran=same(np.asfortranarray), strided=same(strided),
             read_only=same(read_only), mapped=same(mapped), tensor=same(torch.tensor), gradient=same(lambda a: torch.tensor(a, requires_grad=True)),
             double_tensor=same(lambda a: torch.tensor(a).double()), transposed=same(lambda a: torch.tensor(a.T.copy()).permute(*reversed(range(a.ndim)))),
             parameter=same(lambda a: torch.nn.Parameter(torch.tensor(a))), half=lambda a: ((h := a.astype(np.float16)), h.astype(np.float32)),
             half_tensor=rounded(torch.Tensor.half), bfloat16=rounded(torch.Tensor.bfloat16), long_double=same(lambda a: a.astype(np.longdouble)))
LABELS = dict(plain=lambda y: y, unsigned=lambda y: y.astype(np.uint8), unsigned64=lambda y: y.astype(np.uint64), big=lambda y: y.astype('>i4'), big_unsigned=lambda y: y.astype('>u2'),
              reversed=lambda y: y[::-1].copy()[::-1], strided=strided, floats=lambda y: y.astype(float), tensor=torch.tensor, bytes=lambda y: torch.tensor(y).byte(), list=lambda y: y.tolist(), small=lambda y: y.astype(np.int8))

# What must be refused
def with_(a, v): a = a.astype(float); a.flat[a.size // 2] = v; return a
BAD = dict(nan=lambda a: with_(a, np.nan), inf=lambda a: with_(a, np.inf), huge=lambda a: with_(a, 1e300), nan_tensor=lambda a: torch.tensor(with_(a, np.nan)), complex=lambda a: a.astype(complex),
           text=lambda a: a.astype(str), none=lambda a: None, word=lambda a: 'codes', objects=lambda a: np.full(a.shape, None), empty=lambda a: a[:0], scalar=lambda a: 1., flat=lambda a: a.ravel()[0],
           deep=lambda a: a[None, None, None], masked=lambda a: np.ma.masked_array(a, a == a.flat[0]), sparse=lambda a: torch.tensor(a).to_sparse(), dates=lambda a: a.astype('M8[s]'), ragged=lambda a: [[1.], [1., 2.]],
           minute=lambda a: a * 1e-30, dictionary=lambda a: {0: a}, nothing=lambda a: [])
BAD_LABELS = dict(negative=lambda y: y - 1, high=lambda y: y + 9, halves=lambda y: y / 2 + .25, nan=lambda y: with_(y, np.nan), inf=lambda y: with_(y, np.inf), short=lambda y: y[:-1], column=lambda y: y[:, None],
                  none=lambda y: None, word=lambda y: 'labels', empty=lambda y: y[:0], wrapped=lambda y: np.uint64(2**64 - 1) - y.astype(np.uint64), objects=lambda y: np.full(len(y), None), complex=lambda y: y.astype(complex), dates=lambda y: y.astype('M8[s]'))

# The doors of codes (n, T, d) and labels (n,): name -> (function, does the size of the codes matter?, how often)
def columns(df, *names): return df[list(names)].to_numpy(float)
def stored(z, y):
    store = store_from_arrays(z, None, y, None, fresh())
    return np.concatenate([np.asarray(store.codes).ravel(), np.asarray(store._labels).ravel(), store.mean.ravel()])
def separated(z, y): return columns(separation(store_from_arrays(z, None, y, None, fresh()), pairs=2), 'at_zero', 'sup')
probed = lambda z, y, **kw: columns(probe(*[z, y] * 3, n_classes=3, epochs=1, lrs=[.01], seeds=1, bf16=False, device='cpu', **kw), 'valid_acc', 'test_acc')
attended = lambda z, y: columns(attend(*[z, y] * 3, n_classes=3, epochs=1, lrs=[.01], seeds=1, bf16=False, device='cpu', dim=4, n_heads=1, ff=4), 'attention')
estimated = lambda name, z, **kw: estimate(name, z, [0, 0], [1, 0], [0, 0], device='cpu', **kw)
CODES = dict(
    probe=(lambda z, y: probed(z, y, heads=['knn', 'linear']), False, 3), probe_mlp=(lambda z, y: probed(z, y, heads=['mlp'], head_kw=dict(mlp=dict(hidden=4))), False, 1), attend=(attended, False, 1),
    knn=(lambda z, y: knn_scores(z, y, z, 3, n_classes=3, device='cpu'), False, 3), linear=(lambda z, y: linear_scores(z, y, z, n_classes=3, epochs=1, device='cpu'), False, 3),
    store=(stored, True, 2), separation=(separated, True, 1))
ALONE = dict(ksg=(partial(estimated, 'ksg'), False, 3), cka=(partial(estimated, 'cka'), False, 3), mi_table=(lambda z: columns(mi_table(z, estimators='cka', seeds=1, device='cpu'), 'normalised'), False, 1),
    cka_matrix=(cka_matrix, False, 2), chord_length=(chord_length, True, 2), component_shares=(lambda z: component_shares(z, [0, .5, 1]), False, 2), span_times=(lambda z: span_times(z, 2), False, 1),
    interpolation=(lambda z: columns(interpolation_errors(z, as_times([0, .5, 1]), [1, 2]), 'error'), False, 1), infonce=(lambda z: estimated('infonce', z, steps=2, bs=8, dtype='float32'), False, 1))

@cache
def encoder():
    torch.manual_seed(0)
    return Encoder(4, depth=10, width=1, pool=2, size=8).eval()

def codes_case(rng):
    "Codes, and maybe labels, in a form that is good or bad"
    n, d = rng.integers(22, 40), rng.integers(1, 4)
    z, y = rng.normal(size=(n, 3, d)).astype(np.float32), np.r_[0, 1, 2, 0, 1, 2, rng.integers(0, 3, n - 6)]
    pool = CODES | ALONE
    name = rng.choice([k for k, (_, _, w) in pool.items() for _ in range(w)])
    (f, sized, _), both = pool[name], name in CODES
    odd = rng.integers(4) # 0 bad codes, 1 bad labels, 2 tiny codes, 3 a good form
    form, (given, meant) = (k := rng.choice(list(FORMS))), FORMS[k](z)
    form_y, label = (k := rng.choice(list(LABELS))), LABELS[k](y)
    if odd == 1 and both: form_y, label, bad = (k := rng.choice(list(BAD_LABELS))), BAD_LABELS[k](y), True
    else: bad = odd == 0
    if bad and not (odd == 1 and both): form, given = (k := rng.choice(list(BAD))), BAD[k](z)
    if name in ('store', 'separation') and form_y in ('negative', 'high'): bad = False # a store takes any names of classes
    either = name in ('store', 'separation') and form_y in ('wrapped', 'dates') or name == 'store' and form == 'minute'
    if odd == 2 and not sized: form, given, meant = 'tiny', z * 2.**-23, z
    args = (label,) if both else ()
    return f'{name}({form}{", " + form_y if both else ""})', partial(f, given, *args), 'either' if either else None if bad else partial(f, meant, *((y,) if both else ()))

def numbers_case(rng):
    "Digests, intervals, divergences, scales"
    a = rng.normal(size=(6, 4)).astype(np.float32)
    name, bad = rng.choice(['hash', 'interval', 'jsd', 'standardise']), rng.integers(3) == 0
    if name == 'jsd': a = np.exp(a) / np.exp(a).sum(1, keepdims=True)
    if name == 'interval': a = a[:, 0].copy()
    f = dict(hash=hash_arrays, interval=mean_interval, jsd=lambda p: jsd(p, a), standardise=lambda x: standardise(x, a.mean(0), a.std(0)).detach().numpy())[name]
    kinds = dict(hash=['objects'], interval=['text', 'none', 'objects', 'deep', 'masked', 'ragged', 'word'], jsd=['nan', 'inf', 'complex', 'text', 'none', 'objects', 'masked', 'scalar', 'ragged', 'huge'], standardise=['nan', 'inf', 'nan_tensor'])
    if bad: return f'{name}({(k := rng.choice(kinds[name]))})', partial(f, BAD[k](a)), None
    k = rng.choice([k for k in FORMS if name != 'hash' or 'double' not in k and 'half' not in k])
    given, meant = FORMS[k](a)
    return f'{name}({k})', partial(f, given), partial(f, meant)

def images_case(rng):
    "Images in every form that `encode` takes"
    x = rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    f, plain = lambda im: encode(encoder(), im, times=[0, 1]), lambda: encode(encoder(), x, times=[0, 1])
    floats = to_float(x).numpy()
    good = dict(reversed=lambda: x[::-1].copy()[::-1], mirrored=lambda: x[:, :, ::-1].copy()[:, :, ::-1], fortran=lambda: np.asfortranarray(x), list=lambda: list(x), tensor=lambda: torch.tensor(x), tensors=lambda: list(torch.tensor(x)),
                pil=lambda: [Image.fromarray(im) for im in x], files=lambda: [saved(im) for im in x], read_only=lambda: read_only(x), mapped=lambda: mapped(x), strided=lambda: strided(x))
    bad = dict(one=x[0], long=x.astype(np.int64), wide=x.astype(np.uint16), grey=x[..., :1], empty=x[:0], none=None, number=3, far=floats * 200, first=x.transpose(0, 3, 1, 2), narrow=floats[..., 1:], missing='no_such.png', objects=np.full(3, None), word=['a', 'b'],
               nan=with_(floats, np.nan), nan_tensor=torch.tensor(with_(floats, np.nan)), complex=floats.astype(complex), mixed=[x[0], x[0, :4, :4]], truth=x > 9, sparse=torch.tensor(floats).to_sparse(), ragged=[[1], [1, 2]])
    kind = rng.integers(3)
    if kind == 0: return f'encode({(k := rng.choice(list(bad)))})', partial(f, bad[k]), None
    if kind == 1: return f'encode({(k := rng.choice(list(good)))})', lambda: f(good[k]()), plain
    given, meant = FORMS[k := rng.choice(list(FORMS))](floats)
    return f'encode(floats {k})', partial(f, given), lambda: f(meant.copy())

def saved(im):
    path = fresh().with_suffix('.png')
    Image.fromarray(im).save(path)
    return path

def data_case(rng):
    "Data sets in memory: pixels, labels, splits"
    n = 9
    images, y = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), np.arange(n) % 3
    whole, bad = dict(train=slice(0, 5), valid=slice(5, 7), test=slice(7, 9)), rng.integers(2)
    splits = [dict(train=slice(0, 8), valid=slice(8, 4), test=slice(4, 9)), dict(train=slice(9, 0, -1)), dict(train=slice(0, 9, 2)), dict(train=slice(0, 5), test=slice(4, 9)), dict(train=slice(-9, 9)), dict(train=slice(None)), dict(train=[0, 1]), None, {}]
    pixels = [images.astype(np.float32), images[0], images[..., :2], images[:, :4], images.astype(np.uint16), torch.tensor(images), None, 'images', images.tolist()]
    def f(images, y, splits):
        data = ImageData('fuzz', images, dict(class_=y), dict(class_=['a', 'b', 'c']), splits)
        return np.concatenate([to_float(data.images).numpy().ravel(), data.labels['class_'], [len(data.subset(k)) for k in data.splits]])
    plain = partial(f, images, y, whole)
    if not bad:
        im, (k, form) = images[::-1].copy()[::-1] if rng.integers(2) else np.asfortranarray(images), list(LABELS.items())[rng.integers(len(LABELS))]
        return f'ImageData(labels {k})', partial(f, im, form(y) if k != 'floats' else y, whole), plain
    which = rng.integers(3)
    if which == 0: return f'ImageData(splits {(i := rng.integers(len(splits)))})', partial(f, images, y, splits[i]), None
    if which == 1: return f'ImageData(pixels {(i := rng.integers(len(pixels)))})', partial(f, pixels[i], y, whole), None
    return f'ImageData(labels {(k := rng.choice(list(BAD_LABELS)))})', lambda: f(images, BAD_LABELS[k](y), whole), None

ODD = [None, 'no', 'yes', '', '8', 1.5, -1, float('nan'), float('inf'), 10**30, 60004, [], [1, 2], {}, {'a': 1}, [[[]]], 'x' * 10_000, 1e308, -0.5, [None]]

@cache
def network(): encoder().save_pretrained(path := fresh()); return path

def network_case(rng):
    "A folder of weights whose settings or tensors are not what they should be"
    path, x = shutil.copytree(network(), fresh()), rng.random((1, 3, 8, 8), dtype=np.float32)
    f = lambda e: e.code(torch.tensor(x), .5).detach().numpy()
    load, plain = lambda: f(Encoder.from_pretrained(path)), lambda: f(encoder())
    config, file = json.loads((path/'config.json').read_text()), path/'model.safetensors'
    if rng.integers(2):
        key = rng.choice(['d', 'depth', 'width', 'pool', 'film', 'kind', 'channels', 'network', 'sde', 'more'])
        config[key] = odd = ODD[rng.integers(len(ODD))]
        (path/'config.json').write_text(json.dumps(config))
        return f'from_pretrained({key}={str(odd)[:20]})', load, None
    state, k = load_file(file), rng.choice(['lacking', 'prefixed', 'more', 'shape', 'transposed', 'int', 'double', 'truth', 'cut', 'empty', 'half', 'bfloat16', 'header', 'length'])
    name = rng.choice([n for n, v in state.items() if v.ndim == 4 and v.shape[0] != v.shape[1]])
    change = dict(lacking=lambda s: s.pop(name), prefixed=lambda s: s.update({f'module.{n}': s.pop(n) for n in list(s)}), more=lambda s: s.update(more=torch.ones(2)), shape=lambda s: s.update({name: s[name][1:].clone()}),
                  transposed=lambda s: s.update({name: s[name].transpose(0, 1).contiguous()}), int=lambda s: s.update({name: s[name].int()}), double=lambda s: s.update({name: s[name].double()}), truth=lambda s: s.update({name: s[name] > 0}),
                  half=lambda s: s.update({n: v.half() for n, v in s.items()}), bfloat16=lambda s: s.update({n: v.bfloat16() for n, v in s.items()}))
    if k in change: change[k](state), save_file(state, file)
    raw = file.read_bytes()
    if k == 'cut': file.write_bytes(raw[:rng.integers(1, len(raw))])
    if k == 'empty': file.write_bytes(b'')
    if k == 'header': file.write_bytes(raw[:8] + b'[' * 2000 + raw[2008:])
    if k == 'length': file.write_bytes((2**62).to_bytes(8, 'little') + raw[8:])
    if k not in ('half', 'bfloat16'): return f'from_pretrained({k})', load, None
    def rounded_():
        e = Encoder(4, depth=10, width=1, pool=2, size=8).eval()
        e.load_state_dict({n: v.float() for n, v in state.items()})
        return f(e)
    return f'from_pretrained({k})', load, rounded_

@cache
def store():
    rng = np.random.default_rng(0)
    return store_from_arrays(rng.normal(size=(20, 3, 2)).astype(np.float32), None, np.arange(20) % 2, None, fresh()).path

def store_case(rng):
    "A store's folder in which one entry or one array is not what it should be"
    path = shutil.copytree(store(), fresh())
    def load(path=path):
        s = TrajectoryStore(path)
        return np.concatenate([np.asarray(s.codes).ravel(), *s.labels('train').values(), np.asarray(s.curves('test')).ravel(), [len(s.times), *map(len, s.vocabs.values())]])
    plain = partial(load, store())
    if rng.integers(2):
        meta = json.loads((path/'store.json').read_text())
        key, odd = rng.choice(['shape', 'done', 'times', 'splits', 'vocabs']), ODD[rng.integers(len(ODD))]
        if rng.integers(3) == 0: meta[key] = odd
        elif key == 'done': meta[key] = 'twenty'
        elif key in ('splits', 'vocabs'): meta[key][list(meta[key])[0]] = odd
        else: meta[key][rng.integers(len(meta[key]))] = ['1e99999999', odd][rng.integers(2)]
        (path/'store.json').write_text(json.dumps(meta))
        return f'TrajectoryStore({key})', load, plain if key == 'done' and isinstance(meta[key], int) and meta[key] >= 20 else 'either' if key == 'vocabs' else None
    name, k = rng.choice(['codes', 'labels', 'stats']), rng.choice(['objects', 'double', 'big', 'complex', 'shape', 'cut', 'empty', 'archive', 'text', 'missing'])
    file = path/f'{name}.npy'
    a = np.load(file)
    change = dict(objects=a.astype(object), double=a.astype('f8' if name != 'labels' else 'i2'), big=a.astype(a.dtype.newbyteorder('>')), complex=a.astype(complex), shape=a[..., :-1])
    if k in change: np.save(file, change[k])
    if k == 'cut': file.write_bytes(file.read_bytes()[:rng.integers(1, 150)])
    if k in ('empty', 'text'): file.write_bytes(b'' if k == 'empty' else b'hello')
    if k == 'archive': np.savez(open(file, 'wb'), a)
    if k == 'missing': file.unlink()
    return f'TrajectoryStore({name} {k})', load, None

def settings_case(rng):
    "A run's config.json with an odd entry; a text that is no time; a page of JSON"
    kind = rng.integers(3)
    if kind == 0:
        run = Run(fresh(), make_settings('synthetic', 'quick'))
        bools = ['film', 'slim', 'fir', 'stratify', 'bf16', 'channels_last']
        key = rng.choice([*bools, 'd', 'depth', 'width', 'steps', 'bs', 'lr', 'kind', 'mults', 'granularity', 'heads', 'epochs', 'head_seeds', 'preset_', 'sde'])
        odd = ODD[rng.integers(len(ODD))]
        if key in ('lr', 'width', 'steps', 'd', 'bs', 'epochs', 'head_seeds') and odd in (1.5, 10**30, 60004, 1e308): odd = 'no' # these are numbers
        if odd is None or key == 'mults' and odd == [1, 2] or key == 'granularity' and odd == [1, 2]: odd = 'no'
        run.config['settings'][key] = odd
        run.save()
        return f'Run({key}={str(odd)[:20]})', lambda: len(vars(Run(run.path).settings)), None
    if kind == 1:
        odd = ['1e99999999', '-1e99999999', '1e-99999999', '1/' + '7' * 9000, 'noon', '1/0', '', None, [], [[0]], -1, 1.5, float('nan'), 10**9000, '0x1', [.5, '2'], {}, b'1', '1/3/5', [0, None], np.array(['a']), np.array([np.nan]), torch.tensor([2.])]
        return f'as_times({(i := rng.integers(len(odd)))})', lambda: as_times(odd[i]), 'either' if i == 2 else None
    path = fresh().with_suffix('.json')
    path.write_bytes([b'', b'[' * 200_000, b'{"a":' * 200_000, b'\xff\xfe', b'1' * 10_000, b'{"a": 1,}', b'nul', b'[1' + b'0' * 9000 + b']'][rng.integers(8)])
    return 'load_json', lambda: load_json(path), None

KINDS = (codes_case, 10), (numbers_case, 3), (images_case, 3), (data_case, 2), (network_case, 2), (store_case, 2), (settings_case, 2)

def outcome(run, plain):
    "right, clear, other or wrong; and what was said"
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        value, either = np.asarray(plain()) if callable(plain) else None, plain == 'either'
        try: got = run()
        except (ValueError, FileNotFoundError, AssertionError) as e:
            said = str(e)
            clear = '\n' not in said and any(w in said for w in ('will not do', '; ', ': not ', 'profiles of'))
            return 'other' if not clear else 'refused' if callable(plain) else 'clear', f'{type(e).__name__}: {said}'
        except Exception as e: return 'other', f'{type(e).__name__}: {e}'
    if either: return 'right', ''
    if plain is None: return 'wrong', f'taken: {str(got)[:80]}'
    same = np.shape(got) == value.shape and (got == value if value.dtype.kind == 'U' else np.allclose(np.asarray(got, float), value, 1e-3, 1e-5, equal_nan=True))
    return ('right', '') if same else ('wrong', f'{str(got)[:80]} rather than {str(value)[:80]}')

def case(i, seed=0): # name, what is run, what gives the right answer (None: an error does)
    rng = np.random.default_rng((seed, i))
    return [k for k, w in KINDS for _ in range(w)][rng.integers(sum(w for _, w in KINDS))](rng)

def tally(n, seed=0, log=None):
    "Counts of what came back by door, and the cases that were not right or clear"
    counts, odd = Counter(), []
    for i in range(n):
        name, run, plain = case(i, seed)
        what, said = outcome(run, plain)
        counts[name.split('(')[0], what] += 1
        if what not in ('right', 'clear'): odd.append((i, name, what, said))
        if log and (i + 1) % 1000 == 0: log(f'{i + 1} tried, {len(odd)} neither right nor clear')
    return counts, odd

if __name__ == '__main__':
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument('--n', type=int, default=10_000), ap.add_argument('--seed', type=int, default=0), ap.add_argument('--only', type=int), ap.add_argument('--out', help='a CSV file for the counts')
    args = ap.parse_args()
    if args.only is not None:
        name, run, plain = case(args.only, args.seed)
        print(name), print(run())
        sys.exit()
    counts, odd = tally(args.n, args.seed, print)
    for i, name, what, said in odd[:60]: print(f'{i} {name}: {what}: {said[:160]}')
    table = pd.Series(counts).unstack(fill_value=0).reindex(columns=['right', 'clear', 'refused', 'other', 'wrong'], fill_value=0).rename_axis('door')
    print(table.assign(tried=table.sum(axis=1)), '\n', table.sum().to_dict())
    if args.out: table.assign(seed=args.seed).to_csv(args.out)
    shutil.rmtree(tmp)
    sys.exit(bool(odd))
