"""Runs the league: starts each peer on loopback, puts the tester to it, and keeps what it found.

    run.py TESTER FOLDER PEER...

Writes FOLDER/PEER/target.toml and FOLDER/PEER/report.json. A peer that cannot be judged is told, and ends
the run with 1 after the others had their turn.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVICE = [sys.executable, str(HERE / "service.py")]
START_PATIENCE = 60
# The same order and choices for each peer.
SEED = "20261124"
# Longer than any peer needs; what hangs must not hold up the others.
RUN_PATIENCE = 600


def free_ports(count):
    """Free ports below those that the system gives to clients: no connection can take one meanwhile."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if str(port) not in ports:
            ports.append(str(port))
    return ports


def filled(value, places):
    if isinstance(value, str):
        for name, text in places.items():
            value = value.replace(f"@{name}@", text)
        return value
    if isinstance(value, list):
        return [filled(item, places) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, places) for key, item in value.items()}
    return value


def toml(table, name=""):
    """A table as TOML: plain members first, then its tables."""
    lines = [f"[{name}]"] if name else []
    for key, value in table.items():
        if not isinstance(value, dict):
            lines.append(f"{key} = {json.dumps(value)}")
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", toml(value, f"{name}.{key}" if name else key)]
    return "\n".join(lines)


def merged(base, own):
    """Both, the own members first; an own member that is empty takes the base's away."""
    both = dict(base)
    for key, value in own.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and key in both else value
    return {key: value for key, value in both.items() if value != ""}


def service(act, folder, *names):
    subprocess.run([*SERVICE, act, str(folder), *names], check=True)


def prepare(peer, folder, places):
    """Writes what the peer's processes are told."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    (folder / "ledger").touch()
    processes = []
    for process in filled(peer["process"], places):
        env = {"LEAGUE_PORT": places["PORT"], "LEAGUE_DATA": places["DATA"], "LEAGUE_LEDGER": places["LEDGER"]}
        env |= {"AWS_REGION": "eu-west-1", "PYTHONDONTWRITEBYTECODE": "1", **process.get("env", {})}
        cwd = process.get("cwd", places["DATA"])
        crashes = process.get("crashes", True)
        for name, text in process.get("files", {}).items():
            (folder / "data" / name).write_text(text)
        processes.append({"name": process["name"], "argv": process["argv"], "cwd": cwd, "env": env, "crashes": crashes})
    (folder / "service.json").write_text(json.dumps(processes, indent=1))


def target_of(peer, places):
    base = {} if peer.get("gateway") else tomllib.loads((HERE / "charges.toml").read_text())
    own: dict = {"name": peer["title"], "url": "http://127.0.0.1:@PORT@", **peer.get("target", {})}
    if peer.get("crash"):
        own["control"] = {act: f"@SERVICE@ {act} @FOLDER@" for act in ("kill", "stop", "start")} | own.get("control", {})
    return filled(merged(base, own), places)


def wait_until_ready(peer, places):
    began = time.monotonic()
    while True:
        try:
            if "ready" in peer:
                if Path(filled(peer["ready"], places)).exists():
                    return
            else:
                socket.create_connection(("127.0.0.1", int(places["PORT"])), 1).close()
                return
        except OSError:
            pass
        if time.monotonic() - began > START_PATIENCE:
            raise OSError(f"{peer['title']} is not up after {START_PATIENCE} s: see {places['FOLDER']}/*.log")
        time.sleep(0.05)


def logged_in(peer, places):
    """The cookie of each caller, where the peer knows callers by their session."""
    for name, path in peer.get("login", {}).items():
        request = urllib.request.Request(f"http://127.0.0.1:{places['PORT']}{path}", method="POST")
        with urllib.request.urlopen(request, timeout=10) as reply:
            places[name] = reply.headers["Set-Cookie"].partition(";")[0]


def judge(tester, name, folder):
    """Puts the tester to a peer, and returns whether it could be judged."""
    peer = tomllib.loads((HERE / "peers" / f"{name}.toml").read_text())
    ports = free_ports(4)
    places = {"PORT": ports[0], "PORT2": ports[1], "PORT3": ports[2], "PORT4": ports[3]}
    places |= {"FOLDER": str(folder), "DATA": str(folder / "data"), "LEDGER": str(folder / "ledger")}
    places |= {"SERVICE": " ".join(SERVICE), "LEAGUE": str(HERE), "ROOT": str(HERE.parent)}
    places |= {"KIT": str(HERE.parent / "target/league"), "BUILT": str(Path(tester).resolve().parent)}
    prepare(peer, folder, places)
    try:
        service("start", folder, "--all")
        wait_until_ready(peer, places)
        logged_in(peer, places)
        target = folder / "target.toml"
        target.write_text(toml(target_of(peer, places)) + "\n")
        command = [tester, "--target", str(target), *os.environ.get("LEAGUE_ARGUMENTS", "").split()]
        command += [*peer.get("arguments", []), "--seed", SEED, "--quiet", "--json", str(folder / "report.json")]
        began = time.monotonic()
        code = subprocess.run(command, timeout=RUN_PATIENCE).returncode
        print(f"{name}: {time.monotonic() - began:.0f} s, exit code {code}", flush=True)
        return code in (0, 1) and (folder / "report.json").exists()
    except (subprocess.SubprocessError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    finally:
        service("stop", folder, "--all")


def main():
    tester, out, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    out.mkdir(parents=True, exist_ok=True)
    # Told to end, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    unjudged = [name for name in names if not judge(tester, name, out.resolve() / name)]
    if unjudged:
        sys.exit(f"could not be judged: {', '.join(unjudged)}")


if __name__ == "__main__":
    main()
