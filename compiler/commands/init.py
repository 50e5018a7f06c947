"""`rung init`: a commented recipe to change, and the JSON Schema that an editor reads beside it."""

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path

from compiler.commands.mistakes import UserError
from compiler.errors import did_you_mean
from compiler.render import template_text
from compiler.terminal.json_schema import spec_json_schema

SCHEMA = "rung.schema.json"
"""Named in the recipe's first line."""

RECIPES = Path(__file__).resolve().parents[2] / "specs" / "experiments"
LAPTOP = "laptop"


def patterns() -> list[str]:
    """What a new recipe may be like: the small one that runs anywhere, and every recipe that is shipped."""
    return [LAPTOP, *sorted(path.stem for path in RECIPES.glob("*.yaml"))]


def run(arguments: argparse.Namespace) -> int:
    """Writes the recipe with what it uses and the schema; overwrites nothing that is not a schema."""
    recipe: Path = arguments.file
    if recipe.suffix not in (".yaml", ".yml"):
        raise UserError(f"{recipe} is no recipe's name: it should end with .yaml")
    if arguments.like not in patterns():
        raise UserError(
            f"there is no recipe {arguments.like!r} to begin with; {did_you_mean(arguments.like, patterns())}"
        )
    files = _files(recipe, arguments.like)
    recipe.parent.mkdir(parents=True, exist_ok=True)
    for file in files:
        if file.exists():
            raise UserError(f"{file} exists; give another name or another folder")
    for file, text in files.items():
        try:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise UserError(f"{file} cannot be written: {error.strerror}") from None
    schema = recipe.with_name(SCHEMA)
    # The schema belongs to this version of rung and is ours: it may be written anew.
    schema.write_text(json.dumps(spec_json_schema(), indent=1), encoding="utf-8")
    _tell(recipe, [*list(files)[1:], schema], arguments.like)
    return 0


def _files(recipe: Path, like: str) -> Mapping[Path, str]:
    """The recipe first, then the files that it uses and those that it adopts, which are laid beside it."""
    if like == LAPTOP:
        return {recipe: template_text("init/laptop.yaml").replace("THIS_FILE", str(recipe))}
    shipped = RECIPES / f"{like}.yaml"
    text = shipped.read_text(encoding="utf-8")
    lists = re.findall(r"(?:^use|\bfiles): \[([^\]]*)\]", text, re.MULTILINE)
    named = {name.strip(): shipped.parent / name.strip() for names in lists for name in names.split(",")}
    beside = {name: Path(name).name for name, file in named.items() if file.is_file()}
    for name, plain in beside.items():
        text = text.replace(name, plain)
    head = f"# yaml-language-server: $schema=./{SCHEMA}\n"
    parts = {recipe.with_name(plain): (shipped.parent / name).read_text("utf-8") for name, plain in beside.items()}
    return {recipe: head + text, **parts}


def _tell(recipe: Path, beside: list[Path], like: str) -> None:
    runs = "a recipe that runs" if like == LAPTOP else f"a copy of {like}, to change"
    print(f"{recipe}: {runs}; beside it {', '.join(file.name for file in beside)} ({SCHEMA} is for your editor)\n")
    verbs = ("check", "plan", "run") if like == LAPTOP else ("check", "graph", "plan")
    print("\n".join(f"  rung {verb} {recipe}" for verb in verbs))
