# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side of C(fetch_verified); its documentation is in plugins/modules/fetch_verified.py."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Fetch a file unless the controller has it."""

    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        dummy, options = self.validate_argument_spec(
            argument_spec={
                "src": {"type": "path", "required": True},
                "dest": {"type": "path", "required": True},
                "sha256": {"type": "str", "required": True},
            }
        )
        src, dest, sha256 = options["src"], options["dest"], options["sha256"].lower()
        found = self._digest_there(dest)
        result = {"changed": found != sha256, "dest": dest}
        if self._task.diff:
            # The content is for machines: what people compare is the hash.
            result["diff"] = {"before": {"sha256": found}, "after": {"sha256": sha256}}
        if result["changed"] and not self._task.check_mode:
            content, problem = self._read(src, sha256, task_vars)
            if problem:
                return {"failed": True, "msg": problem}
            self._write(dest, content)
        return result

    @staticmethod
    def _digest_there(path):
        """The digest of what the controller has, or None."""
        try:
            with open(path, "rb") as handle:
                return hashlib.sha256(handle.read()).hexdigest()
        except FileNotFoundError:
            return None

    def _read(self, src, sha256, task_vars):
        """The content of the file on the host, and why it is not to be had."""
        answer = self._execute_module("ansible.legacy.slurp", {"src": src}, task_vars=task_vars)
        if answer.get("failed") or "content" not in answer:
            return b"", "%s cannot be read: %s" % (src, answer.get("msg", "no reason given"))
        content = base64.b64decode(answer["content"])
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            return (
                b"",
                "%s is not what was expected: its SHA-256 is %s, not %s. Somebody has changed it; run again."
                % (
                    src,
                    found,
                    sha256,
                ),
            )
        return content, ""

    @staticmethod
    def _write(dest, content):
        """Put the file in its place in one step: others who want the same see it whole or not at all."""
        directory = os.path.dirname(dest) or "."
        os.makedirs(directory, exist_ok=True)
        handle, fresh = tempfile.mkstemp(prefix=".", dir=directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(fresh, 0o644)
            os.replace(fresh, dest)
        except BaseException:
            os.unlink(fresh)
            raise
