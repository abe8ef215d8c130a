import hashlib

from mmext.common import digests
from mmext.common.digests import file_digest


def test_digests(tmp_path, monkeypatch):
    path = tmp_path / 'abc'
    path.write_bytes(b'abc')
    # The sums of 'abc' are the test vectors of RFC 1321 and FIPS 180-2.
    assert file_digest(path, 'md5') == '900150983cd24fb0d6963f7d28e17f72'
    assert file_digest(path) == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    monkeypatch.setattr(digests, 'CHUNK', 7)
    path.write_bytes(bytes(range(100)))
    assert file_digest(path) == hashlib.sha256(bytes(range(100))).hexdigest()
