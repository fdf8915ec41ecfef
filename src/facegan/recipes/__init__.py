"""Recipes: images made from points of latent space, which can be made again from the metadata that they carry."""

from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import ConfigError
from ..messages import one_line
from .arithmetic import Arithmetic
from .edit import Along, Edit
from .recipe import Recipe
from .sheet import Sheet
from .walk import Corners, Walk

__all__ = ["Along", "Arithmetic", "Corners", "Edit", "Recipe", "Sheet", "Walk", "read"]

_ANY: TypeAdapter[Recipe] = TypeAdapter(
    Annotated[Arithmetic | Sheet | Walk | Corners | Edit, Field(discriminator="make")]
)


def read(text: str) -> Recipe:
    """Return the recipe that an image carries, from its JSON.

    Raises:
        ConfigError: It is no recipe, or one of a newer version.
    """
    try:
        return _ANY.validate_json(text)
    except (ConfigError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else one_line(error)
        raise ConfigError(f"its recipe cannot be read ({why})") from None
