"""`facegan plugins`."""

from typing import Any

from .options import Json, print_json


def plugins(as_json: Json = False) -> None:
    """List every pluggable part, its origin and settings."""
    from ..plugins import KINDS, claims, unreadable
    from .console import table

    parts = [_describe(kind, name) for kind in KINDS for name in claims(kind)]
    damaged = unreadable()
    if as_json:
        print_json({"plugins": parts, "unreadable": damaged})
        return
    rows = [(part["kind"], part["name"], part["origin"], _summary(part)) for part in parts]
    rows += [("package", "?", folder, f"passed over: its record is damaged ({why})") for folder, why in damaged.items()]
    table("", ("kind", "name", "from", "settings"), rows)


def _describe(kind: str, name: str) -> dict[str, Any]:
    from ..plugins import claims, find, probe

    owners = claims(kind)[name]
    part: dict[str, Any] = {"kind": kind, "name": name, "origin": " and ".join(owner.origin for owner in owners)}
    reason = probe(owners[0])
    if reason is not None:
        return {**part, "available": False, "reason": reason}
    fields = getattr(find(kind, name), "model_fields", {})
    settings = {field: repr(info.default) for field, info in fields.items()}
    return {**part, "available": True, "settings": settings}


def _summary(part: dict[str, Any]) -> str:
    if not part["available"]:
        return f"unavailable: {part['reason']}"
    return ", ".join(f"{field}={default}" for field, default in part["settings"].items()) or "-"
