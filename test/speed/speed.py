"""Moves the same files with Parqueue and with clients of S3, side by side: wall time, processor time, memory.

    make speed
    make speed SPEED='--mib 32 --many 50 --repetitions 1'

Every client is a process that is started, and measured until it ends, over and over in turn; the median counts. The
daemon runs before, and what it needs meanwhile is added to its clients. Two stores: the local one, over plain HTTP, and the modelled
S3 (test/s3model). After each run of Parqueue the order, the schema, sizes and checksums are compared with what was to come, after each of
another client names and sizes, or the bytes that were downloaded. Files and stores are in memory where there is room.
"""

import argparse
import itertools
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".cache" / "speed"
PYTHON, PEERS = TOOLS / "venv/bin/python", ROOT / "test/speed/peers.py"
S5CMD = next((TOOLS / "venv/lib").glob("python*/site-packages/s5cmd/bin/s5cmd"))
PARQUEUE = ROOT / "bin/parqueue"
RUN_LIMIT = 300  # seconds of one run
TICKS = os.sysconf("SC_CLK_TCK")

# Clients: how to move a folder up to, or down from, a place. A place is a dataset of Parqueue's, or a prefix.
OURS = ("parqueue", "parqueue --no-daemon", "parqueue SDK (Python)")
RCLONE = {"RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_M_TYPE": "s3", "RCLONE_CONFIG_M_PROVIDER": "Other", "RCLONE_CONFIG_M_ENV_AUTH": "true"}
AWS_CONFIG = "[default]\nregion = us-east-1\ns3 =\n  addressing_style = path\n"


def cli(*more):
    def argv(up, local, place):
        return [PARQUEUE, "datasets", "upload", place, local, "--json", *more] if up else [PARQUEUE, "datasets", "download", place, "--to", local, "--json", *more]

    return argv


def s5cmd(workers, *more):
    def argv(up, local, place):
        between = [f"{local}/", f"s3://bench/{place}"] if up else [f"s3://bench/{place}*", f"{local}/"]
        return [S5CMD, "--log", "error", *workers, "cp", *more, *between]

    return argv


def aws(up, local, place):
    between = [local, f"s3://bench/{place}"] if up else [f"s3://bench/{place}", local]
    return [TOOLS / "venv/bin/aws", "s3", "cp", "--recursive", "--only-show-errors", *between]


def rclone(*more):
    def argv(up, local, place):
        between = [local, f"m:bench/{place}"] if up else [f"m:bench/{place}", local]
        return [TOOLS / "bin/rclone", "copy", *more, *between]

    return argv


def python(what):
    return lambda up, local, place: [PYTHON, PEERS, what, "up" if up else "down", local, place]


CLIENTS = {
    OURS[0]: cli(),
    OURS[1]: cli("--no-daemon"),
    OURS[2]: python("sdk"),
    "s5cmd": s5cmd([]),
    "s5cmd -c 16 -p 16": s5cmd(["--numworkers", "64"], "-c", "16", "-p", "16"),
    "obstore": python("obstore"),
    "boto3 (CRT)": python("boto3crt"),
    "rclone tuned": rclone(*shlex.split(
        "--transfers 64 --checkers 64 --s3-chunk-size 8M --s3-upload-concurrency 32 --s3-no-check-bucket --s3-no-head "
        "--multi-thread-streams 32 --multi-thread-chunk-size 8M --multi-thread-cutoff 16M --use-mmap"
    )),
    "rclone": rclone(),
    "aws": aws,
    "floor": lambda up, local, place: [ROOT / "bin/floor", "32" if local.endswith("one") else "64"],
}


class Processes:
    """What runs beside, and ends with this."""

    def __init__(self):
        self.all = []

    def start(self, argv, env, ready):
        """Start a process and wait for the line that begins with `ready`, whose rest it returns."""
        p = subprocess.Popen([str(a) for a in argv], env=env, stdout=subprocess.PIPE, text=True)
        self.all.append(p)
        for line in p.stdout:
            if line.startswith(ready):
                return p.pid, line.removeprefix(ready).strip()
        sys.exit(f"{argv[0]} ended with {p.wait()}")

    def stop(self):
        for p in reversed(self.all):
            p.send_signal(signal.SIGTERM)
        for p in self.all:
            try:
                p.wait(60)
            except subprocess.TimeoutExpired:
                p.kill()


def stat(pid):
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak(pid):
    """The most memory of a process since it was reset, in MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(argv, env, beside, servers, stdin=None):
    """Run a client to its end. What it prints as JSON of its own time counts as well."""
    before, busy = stat(beside) if beside else 0, sum(map(stat, servers))
    if beside:
        Path(f"/proc/{beside}/clear_refs").write_text("5")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        p = subprocess.Popen([str(a) for a in argv], env=env, stdin=stdin or subprocess.DEVNULL, stdout=out, stderr=err)
        limit = threading.Timer(RUN_LIMIT, p.kill)
        limit.daemon = True
        limit.start()
        try:
            _, status, usage = os.wait4(p.pid, 0)
        except BaseException:
            p.kill()
            raise
        finally:
            wall = time.monotonic() - started
            limit.cancel()
        p.returncode = os.waitstatus_to_exitcode(status)
        if status:
            err.seek(0)
            raise RuntimeError(f"{shlex.join(map(str, argv))} ended with {p.returncode}: {err.read()[-600:].decode()}")
        out.seek(0)
        said = json.loads(out.read()) if "sdk" in argv else {}
    cpu, rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    if beside:
        cpu, rss = cpu + stat(beside) - before, rss + peak(beside)
    return {"wall": wall, "cpu": cpu, "rss": rss, "servers": sum(map(stat, servers)) - busy, **said}


class Store:
    """A store, a Parqueue server before it, and a daemon."""

    def __init__(self, name, folder, processes, modelled):
        self.name, self.dir = name, folder
        folder.mkdir()
        home = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TMPDIR": str(folder)}
        serve, api = processes.start([PARQUEUE, "serve", "--quiet", "--listen", "127.0.0.1:0", "--data", folder / "parqueue"], home, "ready: ")
        api = api.split()[0]
        model, file = processes.start([ROOT / "bin/s3model", "--data", folder / "s3", *(["--api", api] if modelled else ["--plain"])], home, "ready: ")
        told = dict(shlex.split(line)[1].split("=", 1) for line in Path(file).read_text().splitlines())
        (folder / "aws").write_text(AWS_CONFIG)
        self.env = home | told | {
            "AWS_CONFIG_FILE": str(folder / "aws"), "AWS_EC2_METADATA_DISABLED": "true", "PARQUEUE_URL": told["S3MODEL_API"] or api,
            "PARQUEUE_API_KEY": (folder / "parqueue/admin.key").read_text().strip(), "PARQUEUE_STATE_DIR": str(folder / "state"),
            "PARQUEUE_CONFIG_DIR": str(folder / "config"), "PARQUEUE_BINARY": str(PARQUEUE), "PYTHONPATH": str(ROOT / "sdk/python/src"),
            "RCLONE_CONFIG_M_ENDPOINT": told["AWS_ENDPOINT_URL"], "RCLONE_CONFIG_M_REGION": told["AWS_REGION"], **RCLONE,
        }  # fmt: skip
        if "SSL_CERT_FILE" in told:
            self.env["RCLONE_CA_CERT"] = told["SSL_CERT_FILE"]
        self.call(PARQUEUE, "daemon", "start")
        self.daemon = json.loads(self.call(PARQUEUE, "daemon", "status", "--json"))["pid"]
        self.servers = [serve, model]
        self.seeds = {}

    def call(self, *argv):
        done = subprocess.run([str(a) for a in argv], env=self.env, capture_output=True, text=True, timeout=RUN_LIMIT)
        if done.returncode:
            raise RuntimeError(f"{shlex.join(map(str, argv))}: {done.stderr[-600:]}")
        return done.stdout

    def peers(self, *argv):
        return self.call(PYTHON, PEERS, *argv)

    def stop(self):
        self.call(PARQUEUE, "daemon", "stop")

    def quiet(self, kept):
        """Wait until what was deleted is gone: so many bytes are left, and some."""
        for _ in range(120):
            left = int(subprocess.run(["du", "-sb", self.dir / "parqueue/objects"], capture_output=True, text=True).stdout.split()[0])
            if left < kept + (4 << 20):
                return
            time.sleep(0.25)
        raise RuntimeError(f"{left} bytes are left after deleting")


class Race:
    def __init__(self, options, folder):
        self.options, self.folder, self.source = options, folder, folder / "source"
        self.end = time.monotonic() + options.minutes * 60
        self.runs = {}  # by store, scenario, direction and client

    def seed(self, store):
        """Store what will be downloaded."""
        for scenario in ("one", "many"):
            dataset = store.call(PARQUEUE, "datasets", "create").strip()
            store.call(PARQUEUE, "datasets", "upload", dataset, self.source / scenario)
            store.call(*s5cmd([])(True, str(self.source / scenario), f"seed-{scenario}/"))
            store.seeds[scenario] = dataset, f"seed-{scenario}/"
        self.kept = sum(f.stat().st_size for f in self.source.rglob("*.parquet"))

    def verify(self, store, scenario, dataset):
        """Fail unless a dataset is what was to come: names in order, sizes, checksums, schema, and the stored bytes."""
        want = json.loads((self.source / f"{scenario}.json").read_text())
        got = json.loads(store.call(PARQUEUE, "datasets", "files", dataset, "--json"))["files"]
        if [{key: f[key] for key in want[0]} for f in got] != want or [f["position"] for f in got] != list(range(len(want))):
            raise RuntimeError("the dataset has other files than were sent, or in another order")
        schema = json.loads(store.call(PARQUEUE, "datasets", "show", dataset, "--json"))["schema"]["fields"]
        if [f["name"] for f in schema] != ["blob"]:
            raise RuntimeError(f"the dataset has the schema {schema}")
        checked = json.loads(store.call(PARQUEUE, "datasets", "verify", dataset, "--json"))
        if checked["sound"] != len(want):
            raise RuntimeError(f"verify says {checked}")

    def once(self, store, scenario, up, client):
        ours, source = client in OURS, self.source / scenario
        local = source if up else self.folder / "to" / scenario
        place = store.seeds[scenario][0 if ours else 1]
        if up:
            place = store.call(PARQUEUE, "datasets", "create").strip() if ours else f"up-{time.monotonic_ns()}/"
        else:
            local.mkdir(parents=True)
        env, stdin = dict(store.env), None
        if not ours:
            env.pop("PYTHONPATH")
        if client == "floor":
            plan = self.folder / "plan"
            plan.write_text(store.peers("presign", "up" if up else "down", str(local), place, str(source)))
            stdin = plan.open()
        try:
            took = measure(CLIENTS[client](up, str(local), place), env, store.daemon if ours and "--no" not in client else None, store.servers, stdin)
            if not up:
                names = sorted(f.name for f in source.iterdir())
                if ours and json.loads((local / "_order.json").read_text()) != names:
                    raise RuntimeError("_order.json has another order")
                (local / "_order.json").unlink(missing_ok=True)
                store.call("diff", "-rq", source, local)
            elif ours:
                self.verify(store, scenario, place)
            elif not (client == "floor" and scenario == "one"):  # which completes nothing
                store.peers("check", place, str(source))
        finally:
            if not up:
                shutil.rmtree(local)
            elif ours:
                store.call(PARQUEUE, "datasets", "delete", place, "--yes")
                store.quiet(self.kept)
            else:
                store.peers("remove", place)
        return took

    def race(self, stores):
        """Run all clients in turn, again and again: when time is short there are fewer repetitions of everything."""
        clients = [c for c in CLIENTS if not self.options.clients or any(word in c for word in self.options.clients)]
        everything = list(itertools.product(stores, ("one", "many"), (True, False), clients))
        for repetition, (store, scenario, up, client) in itertools.product(range(self.options.repetitions), everything):
            runs = self.runs.setdefault((store.name, scenario, up, client), [])
            slow = runs and min(r["wall"] for r in runs) > self.options.slow
            if time.monotonic() > self.end or (slow and repetition % 2):
                continue
            what = f"{store.name:8} {scenario:4} {'up' if up else 'down':4} {client:22}"
            try:
                runs.append(self.once(store, scenario, up, client))
            except RuntimeError as error:
                print(what, "failed:", error, file=sys.stderr)
                continue
            print(what, " ".join(f"{k} {v:.2f}" for k, v in runs[-1].items()), flush=True)

    def table(self):
        for store, scenario, up in dict.fromkeys(key[:3] for key in self.runs):
            what = f"1 file of {self.options.mib} MiB" if scenario == "one" else f"{self.options.many} files of 1 MiB"
            print(f"\n{store}, {'upload' if up else 'download'}, {what}\n\n| client | wall | CPU | servers' CPU | peak RSS | runs |\n|---|--:|--:|--:|--:|--:|")
            of = {key[3]: runs for key, runs in self.runs.items() if key[:3] == (store, scenario, up) and runs}
            medians = {client: {k: statistics.median(r[k] for r in runs) for k in runs[0]} for client, runs in of.items()}
            for client, m in sorted(medians.items(), key=lambda item: item[1]["wall"]):
                print(f"| {client} | {m['wall']:.2f} s | {m['cpu']:.2f} s | {m['servers']:.2f} s | {m['rss']:.0f} MiB | {len(of[client])} |")
            others = {c: m for c, m in medians.items() if c not in OURS and c != "floor"}
            if others and OURS[0] in medians:
                best = min(others, key=lambda c: others[c]["wall"])
                ratios = [f"{medians[OURS[0]]['wall'] / others[best]['wall']:.2f} of {best}'s wall"]
                if "s5cmd" in others:
                    ratios.append(f"{medians[OURS[0]]['cpu'] / others['s5cmd']['cpu']:.2f} of s5cmd's CPU")
                if OURS[2] in medians:
                    sdk = medians[OURS[2]]
                    ratios.append(f"the SDK {sdk['wall'] / medians[OURS[0]]['wall']:.2f} of the CLI's wall, its call alone {sdk['call'] / medians[OURS[0]]['wall']:.2f}")
                print("\nparqueue:", ", ".join(ratios))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the large file")
    parser.add_argument("--many", type=int, default=1000, help="how many files of 1 MiB")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--slow", type=float, default=1e9, help="a client that takes more seconds than this sits every other turn out")
    parser.add_argument("--minutes", type=float, default=90, help="begin nothing after so many")
    parser.add_argument("--stores", default="modelled,local")
    parser.add_argument("--clients", type=lambda text: text.split(","), help="parts of the names of those to run")
    parser.add_argument("--out", type=Path, help="a file for all runs, as JSON")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    need = 5 * (options.mib + options.many) << 20
    memory = Path("/dev/shm")
    free = next((int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")), 0)
    where = memory if memory.is_dir() and min(free, shutil.disk_usage(memory).free) > 1.5 * need else None
    processes, stores = Processes(), []
    with tempfile.TemporaryDirectory(prefix="parqueue-speed-", dir=where) as folder:
        race = Race(options, Path(folder))
        try:
            subprocess.run([PYTHON, PEERS, "generate", race.source, str(options.mib), str(options.many)], check=True)
            for name in options.stores.split(","):
                stores.append(Store(name, Path(folder, name), processes, name == "modelled"))
                race.seed(stores[-1])
            race.race(stores)
        finally:
            race.table()
            if options.out:
                options.out.write_text(json.dumps([{"store": k[0], "scenario": k[1], "up": k[2], "client": k[3], "runs": v} for k, v in race.runs.items()], indent=1))
            for store in stores:
                store.stop()
            processes.stop()


if __name__ == "__main__":
    main()
