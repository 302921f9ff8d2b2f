# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: (c) 2026, the pcie.device_lending authors
# Completion of devlend for bash: devlend itself says what may come next.

_devlend() {
  local line=${COMP_LINE:0:COMP_POINT} word before
  word=${line##* }
  before=${word%"${word##*:}"} # bash takes what comes before a colon for a word of its own
  mapfile -t COMPREPLY < <(_DEVLEND_COMPLETE=$line devlend 2>/dev/null)
  COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
complete -o default -F _devlend devlend
