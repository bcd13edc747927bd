"""A spec as others may see it: what a record, a command line and a difference show never holds a secret."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from llm_magics.engines.base import Command
from llm_magics.runtime.environment import is_secret, secrets_in
from llm_magics.runtime.logs import redact, redact_args


def shown_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """A spec's identity as it stands in a record."""
    shown = dict(identity)
    if env := shown.get("env"):
        shown["env"] = {name: "***" if is_secret(name) else value for name, value in env.items()}
    if args := shown.get("args"):
        shown["args"] = redact_args(args, secrets_in({**os.environ, **identity.get("env", {})}))
    return shown


def differences(running: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Option -> (running, asked) for every option that differs.

    Parameters
    ----------
    running
        The identity in the record of the server that runs.
    asked
        The identity of a spec that is not the same.
    """
    ours = shown_identity(asked)
    keys = [*ours, *(key for key in running if key not in ours)]
    found = {key: (running.get(key), ours.get(key)) for key in keys if running.get(key) != ours.get(key)}
    return found or {"env": ("other secrets", "these")}


def shown_command(command: Command, variables: Mapping[str, str], secrets: Iterable[str]) -> str:
    """A command as one types it in a shell, with the variables it needs beside the usual ones."""
    hidden = list(secrets)
    shown = [f"{name}={'***' if is_secret(name) else shlex.quote(value)}" for name, value in variables.items()]
    return redact(" ".join([*shown, shlex.join(redact_args(command.argv, hidden))]), hidden)
