"""The oracle itself against published vectors, so that it may judge the fast code."""

from __future__ import annotations

from tests.psi import reference as ref


def test_x25519_matches_rfc_7748() -> None:
    for case in ref.vectors("rfc7748_x25519")["vectors"]:
        output = ref.x25519(bytes.fromhex(case["scalar"]), bytes.fromhex(case["u"]))
        assert output.hex() == case["output"]


def test_ristretto_encodings_match_rfc_9496() -> None:
    file = ref.vectors("rfc9496_ristretto255")
    generator = bytes.fromhex(file["multiples_of_generator"][1])
    for factor, encoding in enumerate(file["multiples_of_generator"]):
        product = ref.ristretto_multiply(factor.to_bytes(32, "little"), generator)
        assert product is not None
        assert product.hex() == encoding
    for encodings in file["invalid_encodings"].values():
        assert [ref.ristretto_decode(bytes.fromhex(each)) for each in encodings] == [None] * len(encodings)


def test_ristretto_one_way_map_matches_rfc_9496() -> None:
    for case in ref.vectors("rfc9496_ristretto255")["one_way_map"]:
        assert ref.ristretto_from_hash(bytes.fromhex(case["input"])).hex() == case["output"]


def test_hash_to_field_and_elligator_match_rfc_9380() -> None:
    file = ref.vectors("rfc9380_curve25519_ell2_nu")
    for case in file["vectors"]:
        u = ref.hash_to_field(case["msg"].encode(), file["dst"].encode())
        assert u == int(case["u"], 16)
        x = ref.elligator2(u)
        assert x == int(case["Q.x"], 16)
        assert ref.ladder(8, x) == int(case["P.x"], 16)
