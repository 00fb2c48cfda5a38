"""A program on oras-py, as a user writes one: token authentication over plain HTTP.

    python oras_library.py VERB < request.json

The request has `address`, `user`, `password` and the verb's `arguments`; what comes back is printed as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from oras.client import OrasClient
from oras.oci import Subject


def push(client: OrasClient, arguments: dict[str, Any]) -> int:
    """Push files; answer the status of the manifest's PUT."""
    if "subject" in arguments:
        arguments["subject"] = Subject(**arguments["subject"])
    answer = client.push(disable_path_validation=True, quiet=True, **arguments)
    status: int = answer.status_code
    return status


def main() -> None:
    """Do what standard input asks."""
    request = json.load(sys.stdin)
    client = OrasClient(hostname=request["address"], insecure=True, auth_backend="token")
    client.login(request["user"], request["password"], hostname=request["address"])
    verbs: dict[str, Callable[[dict[str, Any]], Any]] = {
        "push": lambda arguments: push(client, arguments),
        "pull": lambda arguments: client.pull(**arguments),
        "tags": lambda arguments: client.get_tags(**arguments),
    }
    json.dump(verbs[sys.argv[1]](request["arguments"]), sys.stdout)


if __name__ == "__main__":
    main()
