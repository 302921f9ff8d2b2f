# shellcheck shell=bash
# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# To be sourced by the steps that run Molecule scenarios: which ones there are, and running them.

export MOLECULE_GLOB='molecule/*/molecule.yml'

# What runs only when it is asked for, with EXTENDED=1 or by name: it takes long, and is about what seldom changes.
EXTENDED_SCENARIOS='endurance families mixed_iommus'

# These come after the others, in this order: what one leaves installed the next need not install again.
LAST_SCENARIOS='faults endurance'

# The scenarios of a kind ($1): `shared` use one lab, `own` have one each, `kernels` has one for each kernel. Of those, what
# $SCENARIOS names if it is set.
scenarios() {
  local file name kind
  local -a names=()
  for file in molecule/*/molecule.yml; do
    name=$(basename "$(dirname "$file")")
    [[ " $LAST_SCENARIOS " = *" $name "* ]] || names+=("$name")
  done
  for name in "${names[@]}" $LAST_SCENARIOS; do
    kind=shared
    if [ "$name" = kernels ]; then
      kind=kernels
    elif grep -qs own_lab.yml "molecule/$name/create.yml"; then
      kind=own
    fi
    [ "$kind" = "$1" ] || continue
    if [ -n "${SCENARIOS:-}" ]; then
      [[ " $SCENARIOS " = *" $name "* ]] || continue
    elif [ -z "${EXTENDED:-}" ]; then
      [[ " $EXTENDED_SCENARIOS " != *" $name "* ]] || continue
    fi
    echo "$name"
  done
}

# Run scenarios, all of them even if one fails. What an earlier run has recorded of them is forgotten.
run_scenarios() {
  local name status=0
  for name in "$@"; do
    rm -f "$BUILD/matrix/$name.jsonl"
    molecule test --scenario-name "$name" || status=1
  done
  return "$status"
}
