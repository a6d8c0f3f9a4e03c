"""Pages are filled from templates, which stand in the folder `templates` of the package that writes them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def templates_of(package: str, *, autoescape: bool, **options: Any) -> "Environment":
    """Return the templates of a package, e.g. "deploy.hub": a name that is not given is an error, and lines of tags leave no empty ones.

    `options` are further ones of jinja2's Environment, which the extra `plot` brings.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader(package)
    layout: dict[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    return Environment(loader=loader, autoescape=autoescape, **layout, **options)
