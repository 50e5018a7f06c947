"""The only Jinja environment: words from `templates/`, never decisions."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"


@cache
def _environment() -> "jinja2.Environment":
    # Here, because most commands read templates without filling them in.
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2", "html")),
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """The text of `templates/<template>` with these values; an undefined variable is an error."""
    return _environment().get_template(template).render(**values)


@cache
def template_text(template: str) -> str:
    """The source of a template, for hashing and for keeping beside what was made with it."""
    return (TEMPLATES / template).read_text(encoding="utf-8")


@cache
def template_names(folder: str) -> tuple[str, ...]:
    """Every file of a folder of templates, by its name from `templates/`, sorted."""
    files = (TEMPLATES / folder).rglob("*")
    return tuple(sorted(path.relative_to(TEMPLATES).as_posix() for path in files if path.is_file()))
