"""manifest.json: what a style bundle says about itself."""

from typing import Any, Dict, List, Optional, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator
from typing_extensions import Annotated, Literal

from ..errors import BundleError

FORMAT = 1
# Thirty times what the trainer writes. Each fault in it costs a kilobyte before the first is told.
MAX_BYTES = 128 << 10

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
Size = Annotated[int, Field(ge=8, le=4096)]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Exposure(_Section):
    """What every frame is brought to: mean and standard deviation of luma and, optionally, RMS of chroma, of values in
    [0, 1]. See exposure.py.
    """

    mean: Fraction
    std: Fraction
    chroma: Optional[Fraction] = None


class Input(_Section):
    """What the network sees: width and height in pixels; real value = byte / 255. It reads `border` more pixels on all
    four sides, which are black.
    """

    width: Size
    height: Size
    pixels: Literal["rgb", "yuv"]
    border: Annotated[int, Field(ge=0, le=16)] = 0
    exposure: Optional[Exposure] = None

    @property
    def channels(self) -> int:
        return 3


class Output(_Section):
    """What the network gives: width and height in pixels; a tanh, byte = 128 * (1 + real value)."""

    width: Size
    height: Size
    pixels: Literal["rgb", "bgrx"]

    @property
    def channels(self) -> int:
        return 4 if self.pixels == "bgrx" else 3


class Segment(_Section):
    """A piece of the network: `segment` for the CPU and, where compiled, `edgetpu` for the Edge TPU."""

    segment: FileName
    edgetpu: Optional[FileName] = None


class Upsample(_Section):
    """Nearest-neighbour enlargement of height and width by `factor`, on the CPU."""

    upsample: Literal["nearest"]
    factor: Annotated[int, Field(ge=2, le=8)]


class Shuffle(_Section):
    """Pixels out of channels, at the very end, on the CPU: each pixel's factor * factor * C channels become a cell of
    factor x factor pixels, rows first.
    """

    shuffle: Literal["pixels"]
    factor: Annotated[int, Field(ge=2, le=8)]


def _kind(value: Any) -> str:
    for name, kind in (("upsample", Upsample), ("shuffle", Shuffle)):
        if isinstance(value, kind) or isinstance(value, dict) and name in value:
            return name
    return "segment"


Stage = Annotated[
    Union[Annotated[Segment, Tag("segment")], Annotated[Upsample, Tag("upsample")], Annotated[Shuffle, Tag("shuffle")]],
    Discriminator(_kind),
]


class Plan(_Section):
    """One way to run the network: its stages in order."""

    name: Name
    stages: Annotated[List[Stage], Field(min_length=1, max_length=64)]

    @property
    def segments(self) -> List[Segment]:
        return [stage for stage in self.stages if isinstance(stage, Segment)]

    @property
    def compiled(self) -> bool:
        """Whether every segment has a file for the Edge TPU."""
        return all(segment.edgetpu for segment in self.segments)


class File(_Section):
    """Size and digest of one file of the bundle."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Section):
    """All of manifest.json. Plans come in order of preference; `provenance` is free."""

    format: Literal[1]
    name: Name
    title: Annotated[str, Field(min_length=1, max_length=100)]
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    input: Input
    output: Output
    plans: Annotated[List[Plan], Field(min_length=1, max_length=16)]
    files: Dict[FileName, File]
    provenance: Dict[str, Any]

    @field_validator("format", mode="before")
    @classmethod
    def _known_format(cls, value):
        if isinstance(value, int) and value > FORMAT:
            raise ValueError(f"format {value} is newer than this appliance knows ({FORMAT}): update the appliance")
        return value

    @field_validator("title")
    @classmethod
    def _printable(cls, value):
        if not value.isprintable():
            raise ValueError("title has unprintable characters")
        return value

    @field_validator("plans")
    @classmethod
    def _sound_plans(cls, plans):
        names = [plan.name for plan in plans]
        if len(set(names)) != len(names):
            raise ValueError("two plans have the same name")
        for plan in plans:
            ends = plan.stages[:-1] if isinstance(plan.stages[-1], Shuffle) else plan.stages
            if not (ends and isinstance(ends[0], Segment) and isinstance(ends[-1], Segment)):
                raise ValueError(f"plan {plan.name} has to begin and end with a segment")
            if any(isinstance(stage, Shuffle) for stage in ends):
                raise ValueError(f"plan {plan.name} has a shuffle that is not its last stage")
        return plans


def parse(data: bytes) -> Manifest:
    """The manifest in the bytes of a manifest.json. Raises BundleError."""
    if len(data) > MAX_BYTES:
        raise BundleError(f"manifest.json is too large ({len(data)} bytes, {MAX_BYTES} are allowed)")
    return _first_error_only(Manifest.model_validate_json, data)


def build(fields: Dict[str, Any]) -> Manifest:
    """The manifest made of `fields`, a dict as json.load would give it. Raises BundleError."""
    return _first_error_only(Manifest.model_validate, fields)


def _first_error_only(validate, source) -> Manifest:
    try:
        return validate(source)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A newer format explains every other complaint.
        first = next((e for e in errors if e["loc"] == ("format",)), errors[0])
        where = ".".join(str(part)[:40] for part in first["loc"])
        what = first["msg"].replace("Value error, ", "")
        raise BundleError(f"manifest.json: {where + ': ' if where else ''}{what[:200]}") from None
