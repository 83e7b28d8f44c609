"""The SOPS format, read natively: YAML, JSON, dotenv, INI and binary; the MAC is always verified.

The room takes bytes and gives secrets; it opens no file but the key file, and speaks to a key service only for a file
that names it and that no age key opens. What others call:

    identities.load_identities(environment) -> Identities
        The age keys of `SOPS_AGE_KEY` and `SOPS_AGE_KEY_FILE`; `.warnings` are skipped lines, `.recipients` is public;
        `.services` are the key services that the environment configures.
    document.is_encrypted(text, file) -> bool
        Whether a file carries SOPS metadata.
    document.decrypt_document(data, format=…, identities=…, file=…) -> Document
        `.leaves()`: every value with document, path, type, the bytes that enter the MAC, and its place in the file;
        `.plaintext()`: the decrypted text in the format of the file, with comments and layout;
        `.values_under(path)`: the secrets directly under a mapping; `.recipients`: who can open the file.
    document.decrypt(text, identities, file=…) -> Document
        The same, with the format of the name or of the content.
    secret_file.read_secret_file(text, identities, file=…, place="fleet/server/NAME") -> SecretValue
        A file with one secret, refused in another place than it was made for.
    server_secrets.ServerSecrets(identities).read(spec, files)
        Both of these for one server, as the loop asks for them.

Every failure is one of `errors`, and none of them holds a plaintext, a ciphertext or key text. The README beside this
file says what is supported and what the format cannot protect.
"""
