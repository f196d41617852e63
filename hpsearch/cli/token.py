"""`hpsearch token`: make and remove the tokens of a service."""

from __future__ import annotations

import click

from hpsearch.service.tokens import ROLES, Role, add_token, remove_token


@click.command("token")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="run",
    show_default=True,
    help="read sees everything, run also starts and stops studies, admin also deletes.",
)
@click.option(
    "--file", default="tokens.txt", show_default=True, metavar="FILE", help="Where tokens are kept."
)
@click.option("--force", is_flag=True, help="Replace the token of that name.")
@click.option("--remove", is_flag=True, help="Remove the token of that name instead.")
def token_command(name: str, role: Role, file: str, force: bool, remove: bool) -> None:
    """Make a token for a person or a program that uses the service.

    It is printed once: FILE keeps only a hash of it. A running service reads FILE again when it has
    changed.

    \b
    hpsearch token ann --role run --file tokens.txt
    hpsearch token ann --file tokens.txt --remove
    """
    if remove:
        remove_token(file, name)
        click.echo(f"removed {name} from {file}", err=True)
    else:
        click.echo(add_token(file, name, role, force=force))
