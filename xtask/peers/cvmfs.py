"""Measures publishing to CVMFS: cvmfs.py PROGRAM TREE FOLDER.

TREE is a root file system; everything is made in FOLDER, which must not exist. The yardstick is what
CVMFS is bound by: zlib at level 6 over the same bytes, a file at a time, on two cores.
"""

import os
import random
import resource
import subprocess
import sys
import time
import zlib
from multiprocessing import Pool

NAME = "bench.example.org"
program, tree, folder = (os.path.abspath(word) for word in sys.argv[1:4])
os.makedirs(folder)
environment = {
    "PATH": os.environ["PATH"],
    "HOME": folder,
    "ND_CACHE_DIR": os.path.join(folder, "cache"),
}


def files(root):
    for here, _, names in os.walk(root):
        for name in names:
            path = os.path.join(here, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


def deflate(path):
    with open(path, "rb") as file:
        return len(zlib.compress(file.read(), 6))


def yardstick(root):
    paths = sorted(files(root))
    with Pool(2) as pool:
        pool.map(len, ["warm"] * 2)
        start = time.monotonic()
        out = sum(pool.imap_unordered(deflate, paths, 16))
        return time.monotonic() - start, out


def run(*words):
    start = time.monotonic()
    pid = subprocess.Popen([program, *words], env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(pid.pid, 0)
    assert status == 0, words
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def size(root):
    return sum(os.lstat(path).st_size for path in files(root))


most = 0


def row(what, took, limit=""):
    global most
    wall, cpu, memory = took
    most = max(most, memory)
    print(f"{what:44} {wall:7.2f} s {cpu:7.2f} s {memory:6.0f} MiB  {limit}", flush=True)


def publish(source, at, storage, *more):
    where = ("--repository", NAME, "--storage", storage)
    return run("publish", source, "--at", at, "--nested", "always", *where, *more)


def change(source, target, share):
    """A copy with hard links in which files of this share of the bytes are new."""
    subprocess.run(["cp", "-al", source, target], check=True)
    paths = sorted(files(target))
    random.Random(1).shuffle(paths)
    left = size(target) * share
    for path in paths:
        if left <= 0:
            break
        with open(path, "rb") as file:
            data = file.read()
        left -= len(data)
        os.unlink(path)
        with open(path, "wb") as file:
            file.write(b"#" + data)


def many(target):
    """100,000 files, 400 MB, as compressible as text."""
    numbers = random.Random(2)
    words = [bytes(numbers.choices(b"abcdefghijklmnopqrstuvwxyz", k=numbers.randint(2, 9))) for _ in range(4000)]
    for n in range(100_000):
        here = os.path.join(target, f"{n // 1000:03}")
        os.makedirs(here, exist_ok=True)
        data = b" ".join(numbers.choices(words, k=620))
        with open(os.path.join(here, f"{n:06}"), "wb") as file:
            file.write(data[:4000])


print(f"{'what':44} {'wall':>9} {'cpu':>9} {'memory':>10}  limit")
took, out = yardstick(tree)
print(f"{'zlib level 6, two cores (yardstick)':44} {took:7.2f} s {'':9} {out / 2**20:6.1f} MiB out", flush=True)
run("mkfs", "--repository", NAME, "--storage", "storage")
empty = size(os.path.join(folder, "storage"))
row("first container", publish(tree, "one", "storage"), f"2.5 s, {0.8 * took:.2f} s")
stored = size(os.path.join(folder, "storage"))
print(f"{'  its objects':44} {'':9} {'':9} {(stored - empty) / 2**20:6.1f} MiB")
change(tree, os.path.join(folder, "second"), 0.14)
row("second container, 86 % known", publish("second", "two", "storage"), "0.6 s")
row("the first once more, elsewhere", publish(tree, "three", "storage"))
for level in ("1", "3", "9", "12"):
    storage = f"level-{level}"
    run("mkfs", "--repository", NAME, "--storage", storage)
    for entry in os.scandir(os.path.join(folder, "cache")):
        subprocess.run(["rm", "-rf", entry.path], check=True)
    wall = publish(tree, "one", storage, "--level", level)
    row(f"first container, level {level}", wall, f"{size(os.path.join(folder, storage)) / 2**20:.1f} MiB")
many(os.path.join(folder, "many"))
row("100,000 files, 400 MB", publish("many", "many", "storage"), "12 s")
run("mkfs", "--repository", NAME, "--storage", "only")
publish("many", "many", "only")
row("verify --full of that", run("verify", "--full", "only"), "8 s")
print(f"{'most memory of all':44} {'':9} {'':9} {most:6.0f} MiB  500 MB")
subprocess.run(["rm", "-rf", folder], check=True)
