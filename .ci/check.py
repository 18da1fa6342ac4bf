#!/usr/bin/env python3
"""Checks that what is committed fits together; a line for each check, and exit status 1 where one fails.

Runs nbdev's own tools in place: after a failure, the files they changed are as they should be committed.
"""
import json, shutil, subprocess, sys
from hashlib import sha256
from pathlib import Path

root = Path(__file__).resolve().parents[1]
notebook_kb, file_kb = 500, 1000


def run(*command): return subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def tracked(*where): return [root/p for p in run('git', 'ls-files', '-z', *where).stdout.split('\0') if p and (root/p).is_file()]


def state():
    "A digest for each file that git tracks or would"
    extra = [root/p for p in run('git', 'ls-files', '-zo', '--exclude-standard').stdout.split('\0') if p]
    return {p.relative_to(root): sha256(p.read_bytes()).hexdigest() for p in tracked() + extra}


def unchanged_by(command):
    "What is wrong if nbdev's `command` fails or changes a file"
    before, done, after = state(), run(str(Path(sys.executable).with_name(command))), state()
    if done.returncode: return (done.stderr or done.stdout).strip().splitlines()[-1]
    changed = sorted(str(p) for p in before.keys() | after.keys() if before.get(p) != after.get(p))
    return f"{command} changes {', '.join(changed)}" if changed else ''


def notebooks_fit():
    "What is wrong with the notebooks as files"
    wrong = []
    for path in tracked('nbs/*.ipynb'):
        cells = json.loads(path.read_text())['cells']
        if path.stat().st_size > 1000 * notebook_kb: wrong.append(f'{path.name} is larger than {notebook_kb} KB')
        if any(o['output_type'] == 'error' for c in cells for o in c.get('outputs', [])): wrong.append(f'{path.name} holds an error as output')
        title = next(c['source'] for c in cells if c['cell_type'] == 'markdown') # the docs show of this cell only title and subtitle
        if any(line.strip() and line[0] not in '#>' for line in title): wrong.append(f'{path.name} has prose in the cell of the title, which the docs drop')
    return '; '.join(wrong)


def docs_prepare():
    "What stops nbdev from preparing the pages for Quarto; it runs their imports and exported cells alone"
    shutil.rmtree(root/'_proc', ignore_errors=True)
    done = run(sys.executable, '-W', 'ignore', '-c', 'from nbdev.serve import proc_nbs; proc_nbs(n_workers=0)')
    return done.stderr[done.stderr.rfind('Exception: '):].strip().replace('\n', ' ') if done.returncode else ''


def files_small():
    "What is too large for git"
    return ', '.join(f'{p.relative_to(root)} is larger than {file_kb} KB' for p in tracked() if p.stat().st_size > 1000 * file_kb)


def readme_in_step():
    "What of README.md is not what the index page makes"
    done = run(sys.executable, '.ci/readme.py', '--check')
    return done.stderr.strip().splitlines()[-1] if done.returncode else ''


checks = {'notebooks are clean': lambda: unchanged_by('nbdev_clean'), 'modules are in step with notebooks': lambda: unchanged_by('nbdev_export'),
          'README is in step with nbs/index.ipynb': readme_in_step, 'notebooks are small, without errors': notebooks_fit,
          'pages can be prepared for the docs': docs_prepare, 'no large file is tracked': files_small}

if __name__ == '__main__':
    wrong = {name: check() for name, check in checks.items()}
    for name, why in wrong.items(): print(f'FAIL  {name}: {why}' if why else f'ok    {name}')
    sys.exit(any(wrong.values()))
