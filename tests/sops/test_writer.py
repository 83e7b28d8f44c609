"""The command line of the test writer, which makes the example manifest."""

from reconciler.sops.document import decrypt


def test_the_writer_encrypts_a_manifest_and_leaves_the_rest_as_it_stands(writer, keys, tmp_path):
    plain, encrypted = tmp_path / "plain.yaml", tmp_path / "catwalk.yaml"
    plain.write_text("fleet: acme  # kept\nsecrets:\n  TOKEN: x  # kept too\n", encoding="utf-8")
    options = ["--encrypted-regex", "^secrets$", "--mac-only-encrypted", "--last-modified", "2026-01-02T03:04:05Z"]
    writer.main([str(plain), str(encrypted), "--recipient", keys.recipient, *options])
    text = encrypted.read_text(encoding="utf-8")
    assert text.startswith("fleet: acme  # kept\nsecrets:\n  TOKEN: ENC[")
    assert "type:str]  # kept too\n" in text
    assert "    mac_only_encrypted: true\n    version: 3.9.0\n" in text
    assert '    lastmodified: "2026-01-02T03:04:05Z"\n' in text
    decrypted = decrypt(text.encode(), keys.identities, file="catwalk.yaml")
    assert decrypted.values_under(("secrets",))["TOKEN"].reveal() == "x"
