# Copyright: (c) 2026, the pcie.device_lending authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest

from ansible_collections.pcie.device_lending.plugins.module_utils._certificate import common_name, signer

PEM = b"""\
-----BEGIN CERTIFICATE-----
MIIBtzCCAWGgAwIBAgIUeNY7/JGjOGRv60ezqHmbl02+kXEwDQYJKoZIhvcNAQEL
BQAwMDEQMA4GA1UECgwHRXhhbXBsZTEcMBoGA1UEAwwTZGV2aWNlLWxlbmRpbmcg
dGVzdDAeFw0yNjExMjgxNTEzMzBaFw0yNjExMjkxNTEzMzBaMDAxEDAOBgNVBAoM
B0V4YW1wbGUxHDAaBgNVBAMME2RldmljZS1sZW5kaW5nIHRlc3QwXDANBgkqhkiG
9w0BAQEFAANLADBIAkEAvebs67+TOXpSas/4RqWc+F/i/gwHn/kd+GFcnD8RNzw/
gHOt2sBcRG0ar0aNg3Jjx+JR6xDdzMI7YIv+c26EcQIDAQABo1MwUTAdBgNVHQ4E
FgQUO/zjyRS2cCLfyVU/WYMPiHTJ9l0wHwYDVR0jBBgwFoAUO/zjyRS2cCLfyVU/
WYMPiHTJ9l0wDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAANBAJ4iwNGB
RaVxnLGIKcQErHLvDoKGWjNCJUGnbeRHx+pmBLm+M/ybm/eLBvyqN/pxyH7ZOs4T
gU6Lcylkd75OkFk=
-----END CERTIFICATE-----
"""
DER = base64.b64decode(b"".join(PEM.splitlines()[1:-1]))
NAME = "device-lending test"


@pytest.mark.parametrize("octets", [PEM, DER], ids=["PEM", "DER"])
def test_the_subject_is_named(octets):
    assert common_name(octets) == NAME


def test_what_is_no_certificate_names_nobody(tmp_path):
    for cut in range(120):
        assert common_name(DER[:cut]) is None
    assert common_name(b"\x30\x03\x30\x01\x00") is None
    assert signer(str(tmp_path / "nowhere.pem")) is None


def test_it_is_read_from_a_file(tmp_path):
    (tmp_path / "x.pem").write_bytes(PEM)
    assert signer(str(tmp_path / "x.pem")) == NAME
