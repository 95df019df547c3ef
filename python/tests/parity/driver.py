"""Runs one scenario under whichever `aistore` this interpreter has, and prints what it returned as JSON."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from aistore.sdk import Client


def load(name: str) -> ModuleType:
    """The scenario module of that name, loaded afresh."""
    path = Path(__file__).with_name(f"scenario_{name}.py")
    spec = importlib.util.spec_from_file_location(f"parity_{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def play(name: str, endpoint: str, bucket: str) -> Any:
    """What a scenario saw: plain JSON data, with the bucket's name written as `BUCKET`."""
    client = Client(endpoint)
    seen = load(name).run(client, client.bucket(bucket))
    return json.loads(json.dumps(seen, sort_keys=True).replace(bucket, "BUCKET"))


if __name__ == "__main__":
    print(json.dumps(play(*sys.argv[1:4])))
