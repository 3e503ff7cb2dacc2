"""A certificate that cannot be used is refused before anything starts, with the variable to change."""

from pathlib import Path

import pytest

from elephant_server.deploy.credentials import check_certificate
from elephant_server.errors import StackError
from elephant_server.settings import Settings
from stack.certificates import make_certificate


def check(cert: Path, key: Path) -> None:
    check_certificate(Settings(tls_cert=cert, tls_key=key))


def test_a_good_one_passes(tmp_path: Path) -> None:
    check(*make_certificate(tmp_path))
    check_certificate(Settings())


def test_a_key_of_another_is_refused(tmp_path: Path) -> None:
    (cert, _), (_, key) = make_certificate(tmp_path), make_certificate(tmp_path, "other")
    with pytest.raises(StackError, match=r"ELEPHANT_TLS_KEY: .*other\.key is not the key of .*lab\.pem"):
        check(cert, key)


def test_one_that_is_out_of_date_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"ELEPHANT_TLS_CERT: .*certificate has expired"):
        check(*make_certificate(tmp_path, days=-1))


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"ELEPHANT_TLS_KEY: .* has a passphrase"):
        check(*make_certificate(tmp_path, passphrase=b"secret"))


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    _, key = make_certificate(tmp_path)
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(StackError, match="expected PEM files"):
        check(tmp_path / "text", key)
    with pytest.raises(StackError, match=r"ELEPHANT_TLS_CERT: .*missing\.pem cannot be read \(No such file"):
        check(tmp_path / "missing.pem", key)
    with pytest.raises(StackError, match=r"ELEPHANT_TLS_KEY: .*missing\.key cannot be read \(No such file"):
        check(make_certificate(tmp_path)[0], tmp_path / "missing.key")
