"""The sections of a recipe: what can be set, its default and what is allowed."""

import math
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Side = Annotated[int, Field(ge=16, multiple_of=8)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Frame(Section):
    """The network's input size, and the exposure to which every frame is normalised."""

    width: int = Field(default=512, ge=16, le=2048, multiple_of=8)
    height: int = Field(default=216, ge=16, le=2048, multiple_of=8)
    exposure_mean: float = Field(default=0.45, gt=0, lt=1, description="target mean of luma, 0..1")
    exposure_std: float = Field(default=0.25, gt=0, lt=1, description="target standard deviation of luma")
    exposure_chroma: float | None = Field(
        default=None, gt=0, lt=0.5, description="target RMS of U and V; if unset, chroma is scaled as luma"
    )


class Data(Section):
    """Where the pictures are, relative to the data folder given on the command line."""

    painting: str
    painting_width: int = Field(default=512, ge=64, description="pixels; scales the strokes")
    photos: str = "photos"
    held_out: int = Field(default=40, ge=1, description="the last N photos, for measuring only")
    sintel: str = "mpi_sintel"
    sintel_passes: tuple[Literal["clean", "final"], ...] = Field(default=("clean", "final"), min_length=1)
    sintel_held_out: tuple[str, ...] = Field(default=("alley_1", "cave_2"), description="scenes for measuring only")
    videos: str = Field(default="videos", description="folder of clips: video files, or folders of numbered pictures")
    video_frames: int = Field(default=300, ge=2, description="frames used of one clip, from its start, at most")


class Mix(Section):
    """The share of each source in the training, relative to their sum; a source with 0 is not read."""

    photos: float = Field(default=1.0, ge=0, description="photographs with synthetic motion and exact flow")
    sintel: float = Field(default=0.0, ge=0, description="MPI-Sintel's frames with their flow")
    video: float = Field(default=0.0, ge=0, description="clips without flow, through loss.frame_difference")
    flat: float = Field(default=0.0, ge=0, description="plain walls, gradients and dark frames, with exact flow")

    @model_validator(mode="after")
    def _something(self):
        if self.photos + self.sintel + self.video + self.flat == 0:
            raise ValueError("one of photos, sintel, video and flat must be above 0")
        return self


class Motion(Section):
    """How a pair of frames is made: the crop, and the largest change of each kind between the two frames."""

    pan: float = Field(default=14.0, ge=0, description="pixels of the network's input, of camera and foreground")
    rotation: float = Field(default=2.5, ge=0, description="degrees")
    zoom: float = Field(default=0.04, ge=0, lt=0.5, description="relative change of scale")
    layers: int = Field(
        default=2, ge=0, le=8, description="foreground cut-outs in a frame, at most; they move independently"
    )
    layered: float = Field(default=1.0, ge=0, le=1, description="share of the pairs that may have cut-outs")
    drift: float = Field(default=0.06, ge=0, lt=0.5, description="relative change of brightness")
    gamma: float = Field(default=0.06, ge=0, lt=0.5, description="relative change of gamma")
    noise: float = Field(default=0.02, ge=0, lt=0.5, description="standard deviation, 0..1 pixels")
    noise_before_exposure: bool = Field(
        default=False, description="like a sensor's noise, which exposure amplifies in dark frames"
    )
    crops: tuple[float, float] = Field(
        default=(0.7, 1.0), description="smallest and largest crop, as a share of the largest that fits the picture"
    )

    @model_validator(mode="after")
    def _crops_in_order(self):
        if not 0.1 <= self.crops[0] <= self.crops[1] <= 1:
            raise ValueError("crops must be two shares from 0.1 to 1, the smaller one first")
        return self


class Network(Section):
    """ReCoNet's shape: encoder, residual blocks, decoder."""

    widths: tuple[int, int, int] = (32, 64, 128)
    strides: tuple[Literal[1, 2], Literal[1, 2], Literal[1, 2]] = Field(
        default=(1, 2, 2),
        description="of the encoder's convolutions; the decoder enlarges by 4, output cells by the rest",
    )
    blocks: int = Field(default=4, ge=1, le=16)
    first_kernel: int = Field(default=3, ge=1, le=15)
    last_kernel: int = Field(default=3, ge=1, le=15)
    skips: bool = Field(default=False, description="the encoder's planes are added to the decoder's of the same size")

    @model_validator(mode="after")
    def _odd_kernels(self):
        if self.first_kernel % 2 == 0 or self.last_kernel % 2 == 0:
            raise ValueError("first_kernel and last_kernel must be odd")
        return self

    @model_validator(mode="after")
    def _enough_strides(self):
        if self.stride < 4:
            raise ValueError(f"strides {list(self.strides)} shrink by {self.stride}; the decoder enlarges by 4 or more")
        return self

    @property
    def stride(self) -> int:
        """How much smaller than the frame the residual blocks' plane is, per side."""
        return math.prod(self.strides)

    @property
    def cell(self) -> int:
        """Side, in pixels, of the cells in which the last convolution outputs the image; 1 for plain pixels."""
        return self.stride // 4


Layer = Literal[
    "conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3",
    "conv4_1", "conv4_2", "conv4_3", "conv5_1",
]  # fmt: skip
LAYERS: tuple[str, ...] = get_args(Layer)


class Style(Section):
    """The features of VGG16 that the style and content losses compare, and how."""

    loss: Literal["gram", "sliced"] = Field(
        default="gram",
        description="distance of Gram matrices (Gatys et al.), or sliced Wasserstein distance of the features",
    )
    layers: tuple[Layer, ...] = Field(default=("conv1_2", "conv2_2", "conv3_3", "conv4_3"), min_length=1)
    weights: tuple[float, ...] | None = Field(default=None, description="of the layers; 1 each if unset")
    scales: tuple[Literal[1, 2, 4, 8], ...] = Field(
        default=(1,),
        min_length=1,
        description="factors by which the image is shrunk: at 2, strokes become twice as large",
    )
    points: int = Field(default=2048, ge=16, description="sliced: features sampled from image and painting")
    directions: int = Field(default=64, ge=1, description="sliced: random projections")
    content: dict[Layer, float] = Field(default={"conv3_3": 1.0}, min_length=1, description="layers and their weights")
    palette: float = Field(
        default=0.0, ge=0, le=1, description="how far what content, tone and colour see moves to the painting's colours"
    )
    clarity: float = Field(default=0.0, ge=0, le=2, description="local contrast added to what content and tone see")
    facets: int = Field(default=0, ge=0, le=16, description="radius in pixels to which what they see is made flat")
    flat: float = Field(
        default=1.0, ge=0, le=1, description="how much content and tone count where the frame is flat: less frees skies"
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.weights is not None and len(self.weights) != len(self.layers):
            raise ValueError(f"{len(self.weights)} weights for {len(self.layers)} layers")
        return self


class Weights(Section):
    """Weights of the loss terms; each term is normalised, so they compare across styles."""

    content: float = Field(default=4.0, ge=0)
    style: float = Field(default=10.0, ge=0)
    tv: float = Field(default=0.05, ge=0)
    tone: float = Field(default=0.0, ge=0)
    colour: float = Field(default=0.0, ge=0)
    vivid: float = Field(default=0.0, ge=0)
    high_pass: float = Field(default=0.0, ge=0)
    lattice: float = Field(default=0.0, ge=0)
    palette: float = Field(default=0.0, ge=0)
    feature_temporal: float = Field(default=0.3, ge=0)
    output_temporal: float = Field(default=5.0, ge=0)
    frame_difference: float = Field(default=5.0, ge=0, description="pairs without flow only")
    teacher_output: float = Field(default=0.0, ge=0, description="students only")
    teacher_features: float = Field(default=0.0, ge=0, description="students only")
    border: float = Field(default=0.0, ge=0, description="networks without normalisation only")


Optimizer = Literal["adam", "muon"]
Norm = Literal["none", "batch"]  # while a student learns


class Phase(Section):
    """One optimisation: steps with a cosine schedule after a short warm-up."""

    steps: int = Field(ge=1)
    batch: int = Field(default=4, ge=1, description="pairs of frames per step")
    crop: tuple[Side, Side] | None = Field(
        default=None, description="[width, height] in pixels that is cut from each pair; if unset, all of it"
    )
    margin: int = Field(
        default=0, ge=0, multiple_of=8, description="pixels around what is cut that the network sees, but no loss term"
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    optimizer: Optimizer = "adam"
    seed: int = 0
    precision: Literal["bfloat16", "float32"] = Field(
        default="bfloat16", description="of activations; weights are float32"
    )
    loss: Weights = Weights()

    @model_validator(mode="after")
    def _margin_of_a_crop(self):
        if self.margin and not self.crop:
            raise ValueError("margin is around crop, which is unset")
        return self

    @property
    def seen(self) -> tuple[int, int] | None:
        """[width, height] of what the network sees: crop with its margin; None for all."""
        return self.crop and (self.crop[0] + 2 * self.margin, self.crop[1] + 2 * self.margin)


class Teacher(Phase):
    norm: Literal["frn", "instance", "batch", "none"] = "frn"


class Augment(Section):
    """How far the colours of a pair may differ from its source, in either direction; the same for both frames."""

    gamma: float = Field(default=0.0, ge=0, le=2, description="natural logarithm")
    hue: float = Field(default=0.0, ge=0, le=180, description="degrees")


class Student(Phase):
    norm: Norm = Field(
        default="none", description="while it learns; batch normalisation is folded into the convolutions at the end"
    )
    pixels: Literal["rgb", "yuv"] = Field(
        default="rgb", description="input format on the board, which decides what exposure clips"
    )
    augment: Augment = Augment()
    start: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9_]{1,64}$",
        description="a shipped style whose student to start from; if unset, from nothing",
    )


class Polish(Section):
    """See trainer/polishing.py."""

    palette: float = Field(
        default=0.0, ge=0, le=1, description="how far colours move to the painting's mean and covariance: 1 all the way"
    )
    colour: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="the frame's share in the colours, without coloured fringes; if unset, colours are left as drawn",
    )
    vivid: float = Field(default=1.0, ge=0, le=3, description="factor of the colour differences, after the colours")
    levels: tuple[float, float] = Field(
        default=(0.0, 1.0), description="luma, 0..1, that becomes black, and that becomes white"
    )
    sharp: float = Field(default=0.0, ge=0, le=3, description="amount of an unsharp mask of luma")
    detail: float = Field(
        default=0.12, gt=0, le=1, description="deviation of the frame's luma above which nothing is smoothed"
    )
    whole: bool = Field(
        default=False, description="all layers learn, on crops: what zero padding draws along the border goes too"
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="largest deviation of noise added to what the network sees, 0..1; the target has none. Needs whole",
    )

    @model_validator(mode="after")
    def _levels_in_order(self):
        if not 0 <= self.levels[0] < self.levels[1] <= 1:
            raise ValueError("levels must be two values from 0 to 1, black first")
        return self

    @model_validator(mode="after")
    def _noise_needs_whole(self):
        if self.noise and not self.whole:
            raise ValueError("noise needs whole = true: the layers that meet the noise must learn")
        return self


class Lite(Section):
    """A second student of the same style, for boards without an Edge TPU: narrower, and trained on a smaller frame."""

    width: int = Field(default=384, ge=16, le=2048, multiple_of=8)
    height: int = Field(default=216, ge=16, le=2048, multiple_of=8)
    steps: int = Field(default=4000, ge=1)
    widths: tuple[int, int, int] = (12, 32, 48)
    skips: bool = Field(default=False, description="as [network] has it")
    norm: Norm | None = Field(default=None, description="if unset, the student's")
    optimizer: Optimizer | None = Field(default=None, description="if unset, the student's")
    learning_rate: float | None = Field(default=None, gt=0, description="if unset, the student's")
    start: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9_]{1,64}$",
        description="a shipped style whose lite student to start from; if unset, from nothing",
    )
    painting_width: int | None = Field(default=None, ge=64, description="pixels; if unset, the student's, to scale")
    style: Style | None = Field(default=None, description="if unset, the student's")
    loss: Weights | None = Field(default=None, description="if unset, the student's")
    polish: Polish | None = Field(default=None, description="if unset, the student's")
