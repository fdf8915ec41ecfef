"""What the sections of the tree of settings have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings that belong together; unknown ones are refused, and a value never changes once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())
