"""An invalid setting in one line: which, the given value, and what would be valid."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ..devices import DEVICE_PATTERN
from ..errors import ConfigError
from ..messages import nearest, quoted

MAX_RULE = 300  # characters of the message of a plugin's own validator
CROP_PATTERN = r"^(auto|none|center:[1-9]\d*|box:\d+,\d+,[1-9]\d*,[1-9]\d*)$"


def build(model: Any, fields: Mapping[str, Any], where: str) -> Any:
    """Build a model from its settings; raises ConfigError for the first invalid one, named as `where.field`."""
    try:
        return model(**fields)
    except ValidationError as error:
        raise ConfigError(_describe_error(error, model, where)) from None
    except UnicodeEncodeError as error:  # a lone surrogate, which JSON can hold and no text
        of = f" of {where}" if where else ""
        raise ConfigError(f"config: a setting{of} is not text ({quoted(error.object)})") from None


def _describe_error(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """Return the first error of a validation as one line; unknown settings come first."""
    detail = min(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
    path = [str(part) for part in detail["loc"] if not str(part).startswith("function-")]
    key = ".".join(([where] if where else []) + path)
    if detail["type"] == "extra_forbidden":
        known = _settings_of(model, path[:-1])
        return f"config: no setting {quoted(key)}; {nearest(path[-1], known)}"
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):  # a rule of an entire section
        return f"config: {key + ': ' if key else ''}{str(detail['ctx']['error'])[:MAX_RULE]}"
    return f"config: {key} {what_is_wrong(detail)}"


def _settings_of(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


_RULES = {
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "does not have the form {pattern}",
    "value_error": "{error}",
    "finite_number": "must be a finite number",
}
_FORMS = {
    CROP_PATTERN: "auto, none, center:N or box:X,Y,W,H",
    DEVICE_PATTERN: "auto, cpu, cuda, cuda:N or mps",
}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a word",
    "dict": "a table",
    "model": "a table",
}


def what_is_wrong(detail: ErrorDetails) -> str:
    """Return the end of a sentence that begins with the setting: "is 0; it must be at least 1"."""
    context, given, rule = dict(detail.get("ctx", {})), detail["input"], detail["type"]
    if "error" in context:
        context["error"] = str(context["error"])[:MAX_RULE]
    if rule == "missing":
        return "is missing"
    if rule == "string_pattern_mismatch":
        return f"is {quoted(given)}; it must be {_FORMS.get(str(context['pattern']), context['pattern'])}"
    if rule in _RULES:
        return f"is {quoted(given)}; it {_RULES[rule].format(**context)}".replace("it there is", "there is")
    kind = next((words for start, words in _KINDS.items() if rule.startswith(start)), None)
    return f"is {quoted(given)}; it must be {kind}" if kind else f"is {quoted(given)}: {detail['msg']}"


class Options(BaseModel):
    """Frozen values of a command's options; a field's title is the option's name where the field has another.

    Raises:
        ConfigError: A value is invalid.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, values: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return build(values)
        except ValidationError as error:
            (detail, *_) = error.errors(include_url=False)
            name = str(detail["loc"][0])
            field = cls.model_fields.get(name)
            raise ConfigError(f"{(field and field.title) or name} {what_is_wrong(detail)}") from None
