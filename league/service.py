"""Starts, stops and kills the processes of a peer: also called by the tester, for its crash cases.

    service.py start|stop|kill FOLDER [PROCESS...|--all]

FOLDER/service.json lists the processes: name, argv, cwd, env, and whether it ends in a crash of the peer.
Without a name, those that do are meant.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 20


def described(folder, names):
    processes = json.loads((folder / "service.json").read_text())
    if names == ["--all"]:
        return processes
    return [p for p in processes if (p["name"] in names if names else p["crashes"])]


def running(pid):
    """Whether it runs: a dead child that nobody waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def start(folder, process):
    pid_file = folder / f"{process['name']}.pid"
    with open(folder / f"{process['name']}.log", "ab") as log:
        child = subprocess.Popen(
            process["argv"], cwd=process["cwd"], env={**os.environ, **process["env"]}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
    pid_file.write_text(str(child.pid))


def end(folder, process, how):
    """Ends the process and all that it started, and waits until it is gone."""
    pid_file = folder / f"{process['name']}.pid"
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    began = time.monotonic()
    try:
        os.killpg(pid, how)
        while running(pid):
            if time.monotonic() - began > PATIENCE / 2:
                os.killpg(pid, signal.SIGKILL)
            if time.monotonic() - began > PATIENCE:
                sys.exit(f"{process['name']} ({pid}) does not end")
            time.sleep(0.02)
    except ProcessLookupError:
        pass
    pid_file.unlink()


def main():
    act, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    for process in described(folder, names):
        if act == "start":
            start(folder, process)
        else:
            end(folder, process, signal.SIGKILL if act == "kill" else signal.SIGTERM)


if __name__ == "__main__":
    main()
