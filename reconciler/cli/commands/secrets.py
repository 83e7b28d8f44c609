"""`catwalk secrets`: the daily life with SOPS, from the first key to the day when somebody leaves."""

import click

from reconciler.cli.secrets_checks import doctor_command, lint_command
from reconciler.cli.secrets_encrypt import encrypt_command
from reconciler.cli.secrets_init import init_command
from reconciler.cli.secrets_list import list_command
from reconciler.cli.secrets_merge import merge_command
from reconciler.cli.secrets_recipients import recipients_group, rotate_command
from reconciler.cli.secrets_set import set_command
from reconciler.cli.secrets_show import decrypt_command, show_command


@click.group("secrets")
def command() -> None:
    """Keep the secrets of a fleet in git, encrypted with SOPS.

    Start with `catwalk secrets init`, then `catwalk secrets set SERVER NAME`. Every command that prints data takes
    --json.
    """


for each in (
    decrypt_command,
    doctor_command,
    encrypt_command,
    init_command,
    lint_command,
    list_command,
    merge_command,
    recipients_group,
    rotate_command,
    set_command,
    show_command,
):
    command.add_command(each)
