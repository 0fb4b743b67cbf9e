"""manifest.json: the description of a style in its bundle."""

from collections import Counter
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator
from typing_extensions import Annotated, Literal

from ..choice import LITE
from ..errors import BundleError

FORMAT = 2
KEEPING = 3  # the format of a bundle in which a segment keeps a tensor for a later one
# Thirty times what the trainer writes. Each error in it takes a kilobyte of memory before the first is reported.
MAX_BYTES = 128 << 10

Size = Tuple[int, int]  # width, height

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
Side = Annotated[int, Field(ge=8, le=4096)]
SizeName = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$")]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Exposure(_Section):
    """The target of every frame: mean and standard deviation of luma and, optionally, RMS of chroma, of values in
    [0, 1]. See engine/exposure.py.
    """

    mean: Fraction
    std: Fraction
    chroma: Optional[Fraction] = None


class Input(_Section):
    """The network's input: width and height in pixels; real value = byte / 255. On all four sides `border` black pixels
    are added.
    """

    width: Side
    height: Side
    pixels: Literal["rgb", "yuv"]
    border: Annotated[int, Field(ge=0, le=16)] = 0
    exposure: Optional[Exposure] = None

    @property
    def channels(self) -> int:
        return 3


class Output(_Section):
    """The network's output: width and height in pixels; a tanh, byte = 128 * (1 + real value)."""

    width: Side
    height: Side
    pixels: Literal["rgb", "bgrx"]

    @property
    def channels(self) -> int:
        return 4 if self.pixels == "bgrx" else 3


class Sizes(_Section):
    """The sizes for which the networks can be built: width and height are multiples of `stride` from `min` to `max`."""

    stride: Annotated[int, Field(ge=1, le=64)]
    min: Side
    max: Side


class Segment(_Section):
    """A piece of the network: `segment` for the CPU and, in format 1 and where compiled, `edgetpu` for the Edge TPU."""

    segment: FileName
    edgetpu: Optional[FileName] = None


class Upsample(_Section):
    """Nearest-neighbour upsampling of height and width by `factor`, on the CPU."""

    upsample: Literal["nearest"]
    factor: Annotated[int, Field(ge=2, le=8)]


class Shuffle(_Section):
    """Depth to space, as the last stage, on the CPU: each pixel's factor * factor * C channels become a cell of
    factor x factor pixels, row by row.
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
    """One way to run the network: its stages in order. `edgetpu` maps a picture's size to the files that were compiled
    together, one per segment (format 2).
    """

    name: Name
    stages: Annotated[List[Stage], Field(min_length=1, max_length=64)]
    edgetpu: Optional[Dict[SizeName, Annotated[List[FileName], Field(min_length=1)]]] = None

    @property
    def segments(self) -> List[Segment]:
        return [stage for stage in self.stages if isinstance(stage, Segment)]

    @property
    def lite(self) -> bool:
        """Whether it is the smaller network, which is for where nothing else is fast enough."""
        return self.name == LITE

    @property
    def compiled(self) -> bool:
        """Whether every segment has a file for the Edge TPU, for one size or more."""
        return bool(self.edgetpu) or all(segment.edgetpu for segment in self.segments)


class File(_Section):
    """Size and digest of one file of the bundle."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Section):
    """All of manifest.json. Plans are in order of preference; `provenance` is free-form.

    `input` and `output` have the size for which the segments are stored. Without `sizes` it is the only size.
    """

    format: Literal[1, 2, 3]
    name: Name
    title: Annotated[str, Field(min_length=1, max_length=100)]
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    input: Input
    output: Output
    sizes: Optional[Sizes] = None
    plans: Annotated[List[Plan], Field(min_length=1, max_length=16)]
    files: Dict[FileName, File]
    provenance: Dict[str, Any]

    @field_validator("format", mode="before")
    @classmethod
    def _known_format(cls, value: Any) -> Any:
        if isinstance(value, int) and value > KEEPING:
            raise ValueError(f"format {value} is newer than this appliance knows ({KEEPING}): update the appliance")
        return value

    @field_validator("title")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("title has unprintable characters")
        return value

    @field_validator("plans")
    @classmethod
    def _sound_plans(cls, plans: List[Plan]) -> List[Plan]:
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

    @model_validator(mode="after")
    def _as_its_format_has_it(self) -> "Manifest":
        new = [name for name, value in [("sizes", self.sizes)] + [("edgetpu", p.edgetpu) for p in self.plans] if value]
        old = any(segment.edgetpu for plan in self.plans for segment in plan.segments)
        if self.format == 1 and new:
            raise ValueError(f"format 1 has no {new[0]} there: write format 2")
        if self.format == 2 and old:
            raise ValueError("format 2 has no edgetpu in a stage: it belongs to the plan, by size")
        if self.sizes and not self.has(self.size):
            raise ValueError(f"the size {size_name(self.size)} of input is not one of its own sizes")
        seen: "Counter[str]" = Counter()
        for plan in self.plans:
            for name, files in (plan.edgetpu or {}).items():
                if not self.has(parse_size(name)):
                    raise ValueError(f"plan {plan.name} is compiled for {name}, which is not one of its sizes")
                seen.update(files)
                if len(files) != len(plan.segments):
                    raise ValueError(f"plan {plan.name} has {len(files)} compiled files for {name}: one a segment")
        shared = [name for name, times in seen.items() if times > 1]
        if shared:
            raise ValueError(f"{shared[0]} is in two places: a compiled file belongs to one plan, size and segment")
        return self

    @property
    def size(self) -> Size:
        """The size of picture for which the segments are stored."""
        return self.input.width, self.input.height

    def has(self, size: Size) -> bool:
        """Whether the networks can be built for pictures of `size`."""
        if self.sizes is None:
            return size == self.size
        return all(self.sizes.min <= side <= self.sizes.max and side % self.sizes.stride == 0 for side in size)

    def output_size(self, size: Size) -> Size:
        """The size of the networks' output for a picture of `size`."""
        return size[0] * self.output.width // self.input.width, size[1] * self.output.height // self.input.height

    def compiled(self, plan: Plan) -> Dict[Size, List[str]]:
        """The plan's files for the Edge TPU, one per segment, by the size for which they were compiled."""
        if self.format == 1:
            return (
                {self.size: [segment.edgetpu for segment in plan.segments if segment.edgetpu]} if plan.compiled else {}
            )
        return {parse_size(name): files for name, files in (plan.edgetpu or {}).items()}


def size_name(size: Size) -> str:
    """(640, 360) as "640x360"."""
    return f"{size[0]}x{size[1]}"


def parse_size(text: str) -> Size:
    """The (width, height) of a text such as 640x360. Raises ValueError."""
    width, height = text.lower().split("x")
    return int(width), int(height)


def parse(data: bytes) -> Manifest:
    """The manifest in the bytes of a manifest.json. Raises BundleError."""
    if len(data) > MAX_BYTES:
        raise BundleError(f"manifest.json is too large ({len(data)} bytes, {MAX_BYTES} are allowed)")
    return _first_error_only(Manifest.model_validate_json, data)


def build(fields: Dict[str, Any]) -> Manifest:
    """The manifest made of `fields`, a dict as json.load returns it. Raises BundleError."""
    return _first_error_only(Manifest.model_validate, fields)


def _first_error_only(validate: Callable[[Any], Manifest], source: Any) -> Manifest:
    try:
        return validate(source)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A newer format explains all other errors.
        first = next((e for e in errors if e["loc"] == ("format",)), errors[0])
        where = ".".join(str(part)[:40] for part in first["loc"])
        what = first["msg"].replace("Value error, ", "")
        raise BundleError(f"manifest.json: {where + ': ' if where else ''}{what[:200]}") from None
