"""Writes what the tester found about all peers: docs/league.md between its markers, and the matrix.

    page.py TESTER KIT COMMAND

A page is written after a run of all peers only; after a run of some, their summary is printed.
"""

import datetime
import fnmatch
import json
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "league.md"
MARKS = {"pass": "yes", "skipped": "–", "inconclusive": "?", "error": "!"}


def said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "missing"


def told(lines, opening):
    """The rest of the line that opens so."""
    found = [line.strip() for line in lines if line.strip().startswith(opening)]
    return found[0].removeprefix(opening) if found else "–"


class Peer:
    """A peer, its setup, and what was found."""

    def __init__(self, name, folder, tester):
        self.name = name
        self.setup = tomllib.loads((HERE / "peers" / f"{name}.toml").read_text())
        self.title = self.setup["title"]
        self.report = json.loads((folder / "report.json").read_text())
        self.cases = {case["id"]: case for case in self.report["cases"]}
        for ident, case in self.cases.items():
            if matches(ident, self.setup.get("not_put", [])):
                case.update(verdict="skipped", why="does not apply: see the peer's settings")
        # What follows from the verdicts is the tester's to say, of those that apply.
        self.shown = folder / "shown.json"
        self.shown.write_text(json.dumps(self.report))
        lines = said(tester, "report", str(self.shown)).splitlines()
        self.grade = told(lines, "Grade ").partition(":")[0]
        self.promise = told(lines, "It may promise: ")

    def not_claimed(self, ident):
        return any(matches(ident, entry["cases"]) for entry in self.setup.get("not_claimed", []))

    def count(self, level, *verdicts):
        return sum(1 for case in self.cases.values() if case["level"] == level and case["verdict"] in verdicts)

    def mark(self, ident):
        case = self.cases.get(ident)
        if case is None:
            return ""
        if case["verdict"] == "fail":
            return "no ¹" if self.not_claimed(ident) else "**no**"
        return MARKS[case["verdict"]]

    def failed(self, level):
        return [case for case in self.cases.values() if case["level"] == level and case["verdict"] == "fail"]


def matches(ident, patterns):
    return any(fnmatch.fnmatch(ident, pattern) for pattern in patterns)


def cell(text):
    """Text that may stand in a table or a list, on one line."""
    text = " ".join(str(text).split())
    # What a compressed reply reads as is no text.
    text = "".join(c if c.isprintable() and c != "\ufffd" else "·" for c in text).replace("|", "\\|")
    return text if len(text) <= 240 else text[:239] + "…"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def how_it_was_run(command, tester):
    commit = said("git", "-C", str(HERE), "rev-parse", "--short", "HEAD")
    # The page itself may have been written before.
    if said("git", "-C", str(HERE.parent), "status", "--porcelain", "--", ".", ":!docs/league.md"):
        commit += "-dirty"
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    machine = f"{model[0].partition(':')[2].strip() if model else platform.machine()}, {os.cpu_count()} cores"
    rows = [
        ["date", f"{datetime.datetime.now(datetime.UTC):%d %B %Y, %H:%M} UTC"],
        ["command", f"`{command}`"],
        ["tester", f"`{said(tester, '--version')}`, commit `{commit}`"],
        ["machine", f"{machine}, Linux {platform.release()}"],
        ["versions", ", ".join([
            f"Python {platform.python_version()}", f"Node {said('node', '--version').lstrip('v')}",
            said("rustc", "--version").partition(" (")[0].replace("rustc", "Rust"),
            "Redis " + said("redis-server", "--version").partition("v=")[2].partition(" ")[0],
        ])],
    ]
    return table(["", ""], rows)


def overview(peers):
    rows = []
    for peer in peers:
        musts = f"{peer.count('MUST', 'pass')} of {peer.count('MUST', 'pass', 'fail', 'inconclusive', 'error')}"
        shoulds = f"{peer.count('SHOULD', 'pass')} of {peer.count('SHOULD', 'pass', 'fail', 'inconclusive', 'error')}"
        unclaimed = sum(1 for case in peer.failed("MUST") if peer.not_claimed(case["id"]))
        undecided = peer.count("MUST", "inconclusive", "error") + peer.count("SHOULD", "inconclusive", "error")
        failed = str(len(peer.failed("MUST"))) + (f" ({unclaimed} ¹)" if unclaimed else "")
        # What gave the grade may be nothing that the peer claims.
        grade = peer.grade + (" ¹" if unclaimed and unclaimed == len(peer.failed("MUST")) else "")
        skipped = str(sum(1 for case in peer.cases.values() if case["verdict"] == "skipped"))
        rows.append([f"[{peer.title}](#{anchor(peer.title)})", peer.setup["store"].partition(" (")[0], musts, failed,
                     shoulds, str(undecided), skipped, grade])
    head = ["peer", "store", "MUST held", "MUST failed", "SHOULD held", "not told", "skipped", "grade"]
    return table(head, rows)


def anchor(title):
    return "".join(c for c in title.lower() if c.isalnum() or c in " -_").replace(" ", "-")


def topics(peers):
    """A table for each topic: a row for each case, a column for each peer."""
    cases = {}
    for peer in peers:
        for ident, case in peer.cases.items():
            cases.setdefault(ident.partition("/")[0], {}).setdefault(ident, case)
    lines = []
    for topic, found in cases.items():
        rows = []
        for ident, case in found.items():
            if any(peer.mark(ident) not in ("–", "") for peer in peers):
                rows.append([f"`{ident.partition('/')[2]}`", case["level"], *(peer.mark(ident) for peer in peers)])
        if not rows:
            lines += [f"### {topic}", "", "No peer was put to a case of this topic.", ""]
            continue
        lines += [f"### {topic}", "", *table(["case", "level", *(peer.title for peer in peers)], rows), ""]
    return lines[:-1]


def each_peer(peers):
    lines = []
    for peer in peers:
        lines += [f"### {peer.title}", "", f"- Package: {peer.setup['package']}. Store: {peer.setup['store']}."]
        lines.append(f"- Settings: {peer.setup['settings']}.")
        for entry in peer.setup.get("not_claimed", []):
            names = ", ".join(f"`{pattern}`" for pattern in entry["cases"])
            lines.append(f"- Not claimed ({names}): {entry['why']}.")
        lines.append(f"- What it may promise, by the tester: {cell(peer.promise)}")
        for level in ("MUST", "SHOULD"):
            failed = peer.failed(level)
            if not failed:
                lines.append(f"- No {level} failed.")
                continue
            lines.append(f"- {level} that failed:")
            for case in failed:
                mark = " ¹" if peer.not_claimed(case["id"]) else ""
                lines.append(f"  - `{case['id']}`{mark}: {cell(case['requirement'])} Seen: {cell(case['observed'])}")
        lines.append("")
    return lines[:-1]


def replaced(page, part, lines):
    begin, end = f"<!-- {part}: written by scripts/league -->", f"<!-- {part}: end -->"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        sys.exit(f"docs/league.md has no place for '{part}': it wants the lines {begin} and {end}")
    return before + "\n".join([begin, "", *lines, "", end]) + after


def main():
    tester, kit, command = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    names = sorted(path.stem for path in (HERE / "peers").glob("*.toml"))
    asked = command.split()
    peers = [Peer(name, kit / "run" / name, tester) for name in asked or names]
    peers.sort(key=lambda peer: (not peer.name.startswith("semel"), peer.name))
    print("\n".join(overview(peers)))
    if asked:
        return
    page = PAGE.read_text()
    page = replaced(page, "how it was run", how_it_was_run("scripts/league", tester))
    page = replaced(page, "overview", overview(peers))
    page = replaced(page, "topics", topics(peers))
    page = replaced(page, "peers", each_peer(peers))
    PAGE.write_text(page)
    reports = [str(peer.shown) for peer in peers]
    subprocess.run([tester, "report", *reports, "--html", str(kit / "league.html")], check=True)
    print(f"\nwritten: {PAGE} and {kit / 'league.html'}")


if __name__ == "__main__":
    main()
