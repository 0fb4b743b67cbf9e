"""What the sections of the configuration are made of."""

from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from . import keycodes


def key(default: Any, description: str, allowed: str, **bounds: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"allowed": allowed}, **bounds)


def number(default: int, low: int, high: int, description: str) -> Any:
    return key(default, description, f"a whole number from {low} to {high}", ge=low, le=high)


def length(low: int, high: int, description: str) -> Any:
    return key(0, description, f"0, or an even number from {low} to {high}", ge=0, le=high, multiple_of=2)


def no_less(low: int) -> AfterValidator:
    """Refuses numbers from 1 to `low` - 1."""

    def check(value: int) -> int:
        if 0 < value < low:
            raise ValueError(f"less than {low}")
        return value

    return AfterValidator(check)


def _known(name: str) -> str:
    if name != "off" and keycodes.code(name) is None:
        raise ValueError(f"no key has that name or number: names are {keycodes.NAMES}")
    return name


KNOWN_KEY = AfterValidator(_known)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
