# shellcheck shell=bash
# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# To be sourced: where things are, and the tools' environment.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$ROOT/.build
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/pcie-device-lending
# ansible-test insists on a real path of this form, and on one that no git repository around it ignores.
TREE=$CACHE/tree-$(sha256sum <<<"$ROOT" | cut -c1-12)/ansible_collections/pcie/device_lending
export ROOT BUILD CACHE TREE

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Have Debian packages, as root; those that are there cost nothing.
install_packages() {
  local installed package missing=()
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    [[ $'\n'$installed$'\n' == *$'\n'"installed $package"$'\n'* ]] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || die "install first, as root: apt-get install ${missing[*]}"
  echo "Installing ${missing[*]}"
  mkdir -p "$BUILD"
  export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
  { apt-get -qq update && apt-get -qq install --no-install-recommends "${missing[@]}"; } >"$BUILD/apt.log" 2>&1 ||
    { tail -n 20 "$BUILD/apt.log" >&2; die "apt-get failed; its whole output is in $BUILD/apt.log"; }
}

# Have a Python environment, which costs nothing when it is there. $1: its directory in the cache, $2: the interpreter, $3: the
# requirements file, $4: what it is for.
have_environment() {
  mkdir -p "$CACHE" "$BUILD"
  (
    exec 9>"$1.lock"
    flock 9
    [ ! -e "$1/.complete" ] || exit 0
    echo "Installing $4 for $("$2" -V) (about half a minute)"
    rm -rf "$1"
    "$2" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$3" >"$BUILD/pip.log" 2>&1 ||
      { tail -n 20 "$BUILD/pip.log" >&2; die "pip failed; its whole output is in $BUILD/pip.log"; }
    touch "$1/.complete"
  )
}

# Put the tools first in the path, and make this checkout the only pcie.device_lending that Ansible finds.
use_tools() {
  [ -e "$BUILD/venv/bin/ansible-playbook" ] || "$ROOT/tools/setup"
  # The shims of pyenv say yes to every version and then fail; its real interpreters may stay.
  local path=$BUILD/venv/bin directory
  while IFS= read -r -d : directory; do
    case $directory in */.pyenv/shims | "${PYENV_ROOT:-$HOME/.pyenv}/shims") ;; *) path+=:$directory ;; esac
  done <<<"$PATH:"
  PATH=$path
  mkdir -p "$BUILD/collections/ansible_collections/pcie"
  ln -sfn "$ROOT" "$BUILD/collections/ansible_collections/pcie/device_lending"
  export PATH
  export ANSIBLE_COLLECTIONS_PATH=$BUILD/collections
  export ANSIBLE_HOME=$BUILD/ansible
  export PYTHONDONTWRITEBYTECODE=1
  unset VIRTUAL_ENV PYTHONPATH
}

# The files that git knows or would add and that are there, each with a zero octet after it, of these paths.
list_tree() {
  git ls-files --cached --others --exclude-standard -z -- "$@" |
    while IFS= read -r -d '' path; do [ ! -e "$path" ] || printf '%s\0' "$path"; done
}

# Copy them to a directory. More lines for galaxy.yml come from the input.
copy_as_published() {
  list_tree . | rsync --archive --from0 --files-from=- ./ "$1/"
  cat >>"$1/galaxy.yml"
  python -m tools.published "$1"
}

# What galaxy.yml lacks to be published. There are no addresses yet: some that cannot exist stand for them.
lacking() {
  local key
  for key in repository documentation; do
    grep -q "^$key:" galaxy.yml || echo "$key: https://$key.invalid/"
  done
}

# Build the collection's archive of them in a directory, and print its path. More lines for galaxy.yml come from the input.
build_archive() {
  copy_as_published "$1/tree"
  ansible-galaxy collection build --output-path "$1" "$1/tree" >&2
  echo "$1"/pcie-device_lending-*.tar.gz
}

# Copy them to where ansible-test wants them; only what differs is written.
copy_tree() {
  mkdir -p "$TREE"
  (
    exec 9>"$BUILD/tree.lock"
    flock 9
    cd "$ROOT" || exit
    list_tree . >"$BUILD/tree.list"
    rsync --archive --checksum --force --from0 --files-from="$BUILD/tree.list" ./ "$TREE/"
    # What has gone from the checkout goes from the copy.
    cd "$TREE" || exit
    find . \( -path ./tests/output -o -name __pycache__ \) -prune -o -type f -printf '%P\0' |
      { grep -zvxFf <(tr '\0' '\n' <"$BUILD/tree.list") || true; } | xargs -0r rm -f
  )
}
