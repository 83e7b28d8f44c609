"""Writing SOPS files of every format, for every recipient: create, change in place, rotate, replace safely.

The package works on bytes; only `disk` touches files. What others call:

    creation.encrypt(content, Encryption(keys=…, rule=…), file=…, last_modified=…) -> bytes
        A plain text to a SOPS file; for age recipients public keys are enough.
    recipients.master_key(text) -> MasterKey
        Whatever a text names to encrypt to; `age_keys(*texts)` is one group of age recipients.
    editing.open_to_edit(content, identities, file=…) -> Editing
        A verified file; `.with_value(path, secret)`, `.without_value(path)`, `.with_recipient(key, moment)`,
        `.rotated(keys, moment)` give a changed one, and `.sealed(last_modified)` its bytes.
    creation_rules.find_rule(path) -> CreationRule
        What `.sops.yaml` wants for a file.
    secret_files.new_secret_file(value, place, encryption, …) -> bytes
        One secret, bound to `fleet/server/NAME`.
    merging.merge(base, ours, theirs, identities, …) -> Merged
        Three versions to one, by what they decrypt to.
    disk.replace_file(path, content, check, before=…)
        Whole or not at all.

Every time is handed in. Nothing here prints, and no error holds a plaintext, a ciphertext or key text.
"""
