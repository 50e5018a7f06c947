"""`rung init`: a commented recipe to change, and the JSON Schema that an editor reads beside it."""

import argparse
import json
from pathlib import Path

from compiler.commands.mistakes import UserError
from compiler.render import template_text
from compiler.schema.json_schema import spec_json_schema

SCHEMA = "rung.schema.json"
"""Named in the recipe's first line."""


def run(arguments: argparse.Namespace) -> int:
    """Writes both files; overwrites neither a recipe nor anything that is not a schema."""
    recipe: Path = arguments.file
    if recipe.suffix not in (".yaml", ".yml"):
        raise UserError(f"{recipe} is no recipe's name: it should end with .yaml")
    schema = recipe.with_name(SCHEMA)
    recipe.parent.mkdir(parents=True, exist_ok=True)
    try:
        with recipe.open("x", encoding="utf-8") as file:
            file.write(template_text("init/laptop.yaml").replace("THIS_FILE", str(recipe)))
    except FileExistsError:
        raise UserError(f"{recipe} exists; give another name") from None
    except OSError as error:
        raise UserError(f"{recipe} cannot be written: {error.strerror}") from None
    # The schema belongs to this version of rung and is ours: it may be written anew.
    schema.write_text(json.dumps(spec_json_schema(), indent=1), encoding="utf-8")
    print(f"{recipe}: a recipe that runs; {schema.name} beside it is for your editor\n")
    print("\n".join(f"  rung {verb} {recipe}" for verb in ("check", "plan", "run")))
    return 0
