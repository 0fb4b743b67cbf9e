"""Presents what was measured: a table in the terminal, and one self-contained page of pictures and curves."""

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from appliance.camera.pictures import is_picture, read_picture
from appliance.engine.interpreter import runtimes
from appliance.files import replacing
from appliance.frames import cover
from trainer import curves, evaluation, flow, gather, perceptual
from trainer.data import pictures, video, wandering
from trainer.edgetpu.convert import convert_instance_norm
from trainer.edgetpu.cost import plan_costs
from trainer.edgetpu.export import calibration
from trainer.evaluation import blob_share, snr_db, ssim, stability_error
from trainer.runs import NETWORKS, read_note

OWN_PHOTOS = Path(evaluation.__file__).parents[1] / "appliance/camera/photos"
TITLES = {
    "none": "no normalisation, float",
    "instance int8": "instance norm, int8",
    "instance": "instance norm, float",
    "teacher": "our teacher, float",
    "student": "our student, float",
    "int8": "our student, int8",
}
BOUNDS = {"style_ratio": 1.5, "content_ratio": 1.15}
FIGURES = (
    ("style", "style loss"),
    ("content", "content loss"),
    ("ssim", "SSIM against the teacher"),
    ("snr_teacher_db", "SNR against the teacher, dB"),
    ("snr_student_db", "SNR against the float student, dB"),
    ("blobs", "share in saturated blobs"),
    ("fine", "share of power below 4 pixels"),
    ("faces", "share of faces still found"),
)
CLIP = 24  # frames
PART = 300, 150  # pixels of each part shown at full size
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1500px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.3em .7em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}
.row{display:flex;flex-wrap:wrap;gap:10px;margin:0 0 1em}
figure{margin:0;width:min(345px,100%)}
figure img{width:100%;aspect-ratio:16/9;object-fit:cover;display:block}
.whole figure{width:auto}
.whole img{width:auto;aspect-ratio:auto}
figcaption{font-size:13px;color:#444}
.gone{display:flex;align-items:center;justify-content:center;background:#eee;aspect-ratio:16/9;font-size:13px}
svg{max-width:100%;height:auto}"""


def table(report: dict) -> Table:
    """The report of evaluate() for a terminal: networks across, figures down."""
    figures = [(title, report[key]) for key, title in FIGURES if key in report]
    figures += [(f"relative e_stab, {scene}", values) for scene, values in report.get("e_stab", {}).items()]
    names = [name for name in (*NETWORKS, "int8") if any(name in f for _, f in figures)]
    heads = {
        "student": "float student",
        "int8": "int8 student",
        "instance": "instance norm",
        "none": "no norm",
        "frn": "FRN",
    }
    made = Table(title=f"{report['name']}: {report.get('photos', 0)} photos, {report.get('pairs', 0)} Sintel pairs")
    made.add_column("")
    for name in names:
        made.add_column(heads.get(name, name), justify="right")
    for title, values in figures:
        made.add_row(title, *(f"{values[name]:.4g}" if name in values else "" for name in names))
    ratios = [(key, report[key]) for key in ("style_ratio", "content_ratio") if key in report]
    if ratios:
        made.add_section()
        for key, value in ratios:
            cells = ["" if name != "int8" else f"{value:.3g}x" for name in names]
            made.add_row(f"{key.removesuffix('_ratio')}, times the teacher's (bound {BOUNDS[key]}x)", *cells)
    return made


def show(report: dict, as_json: bool) -> None:
    """Prints the report of evaluate(): the table or JSON to stdout, what is missing to stderr."""
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        Console(width=None if Console().is_terminal else 120).print(table(report))
    for line in report["missing"]:
        Console(stderr=True).print(line, highlight=False)


def write(paths: list[Path], data: Path, photos: Path | None, clip: Path | None, run: Path | None, out: Path) -> None:
    """Writes the page about the styles at paths (bundles or networks) to out. Raises Problem.

    It shows the first three pictures of photos, or of the virtual camera. The temporal error is measured on the video
    clip, or on a synthetic one with exact flow.
    """
    parts, tell = [], Console(stderr=True)
    for path in paths:
        tell.print(f"{path}")
        work = gather.gather(path, data, run)
        folder = next((f for f in gather.places(path, work.recipe, run) if (f / "student.losses.jsonl").exists()), None)
        weights = perceptual.load(work.recipe.perceptual, data, work.recipe.style)
        compared = _compared(work, path, run)
        painted = _painters(work, compared)
        parts.append(f"<h2>{html.escape(work.recipe.title)}</h2><p>{html.escape(work.recipe.artist)}</p>")
        parts += [f"<p>{html.escape(line)}</p>" for line in work.missing]
        parts.append(_pictures(work, painted, compared, _photos(photos, work), weights, data))
        parts.append(_temporal(work, painted, clip))
        parts.append(curves.losses(folder) if folder else "<p>No loss curves: the run was not found; see --run.</p>")
        parts.append(_costs(work))
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>ReCoNet on the Edge TPU</title>'
    about = (
        "<h1>ReCoNet on the Edge TPU</h1><p>Style and content are the training losses, relative to the painting's Gram "
        "matrices and to the frame's own features: lower is closer. Blobs: share of pixels in saturated patches. Every "
        "number was computed when this page was made, on a workstation; nothing here has run on a real Edge TPU.</p>"
    )
    with replacing(out) as temporary:
        temporary.write_text(f"{head}<style>{STYLE}</style>{about}{''.join(parts)}</html>\n", "utf-8")
    tell.print(f"wrote {out}, {out.stat().st_size / 1e6:.1f} MB")


def _photos(folder, work):
    paths = sorted(p for p in (folder or OWN_PHOTOS).iterdir() if is_picture(p))
    height, width = work.recipe.size
    return [cover(read_picture(path), (width, height)) for path in paths[:3]]


def _compared(work, path, run):
    """The networks for comparison that were found, by name, each with the recipe from its own note, whose exposure may
    differ.
    """
    found = {}
    for name in ("none", "instance"):
        for folder in gather.places(path, work.recipe, run):
            note = folder / f"{name}.json"
            if name not in found and note.exists():
                other = gather.Work(read_note(note).recipe)
                if gather.find_network(other, name, [folder]):
                    other.recipe = other.recipe.sized(*work.recipe.size)
                    found[name] = other
    return found


def _painters(work, compared):
    """The painters of all networks, in the order of TITLES."""
    painted = evaluation.painters(work.recipe, work.networks, work.stylizer())
    for other in compared.values():
        painted |= evaluation.painters(other.recipe, other.networks, None)
    if "instance" in compared:
        painted["instance int8"] = _instance_int8(compared["instance"])
    return {name: painted[name] for name in TITLES if name in painted}


def _instance_int8(work):
    height, width = work.recipe.size
    frames = np.stack([cover(read_picture(p), (width, height)) for p in sorted(OWN_PHOTOS.glob("*.jpg"))])
    with Console(stderr=True).status("quantising instance normalisation"):
        model = convert_instance_norm(work.networks["instance"], work.recipe.network, calibration(frames, work.recipe))
    interpreter: Any = runtimes()[0].load(model)
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def paint(frames):
        one, drawn = evaluation.meter(work.recipe.frame), []
        for frame in frames:
            exposed = evaluation.as_on_board(frame, one)
            interpreter.set_tensor(source["index"], exposed[None])
            interpreter.invoke()
            scale, zero = sink["quantization"]
            drawn.append((interpreter.get_tensor(sink["index"])[0].astype("float32") - zero) * scale)
        return drawn

    return paint


def _pictures(work, painted, compared, photos, weights, data):
    painting = data / work.recipe.data.painting
    style = _figure(read_picture(painting), "the painting") if painting.exists() else _gone("the painting (--data)")
    frames = {name: other.recipe.frame for name, other in compared.items()}
    rows, layers = [], tuple(work.recipe.style.content)
    for photo in track(photos, "drawing", console=Console(stderr=True)):
        seen = {}  # {exposure: the frame's features, to compare content with}
        drawn = {name: paint([photo])[0] for name, paint in painted.items()}
        cells = [style, _figure(photo, "the frame")]
        for name, output in drawn.items():
            frame = frames.get(name.removesuffix(" int8"), work.recipe.frame)
            exposed = evaluation.as_on_board(photo, evaluation.meter(frame))
            if frame not in seen:
                seen[frame] = perceptual.features(weights, exposed[None].astype("float32") / 255, layers)
            image = (output[None].astype("float32") + 1) / 2
            made = perceptual.features(weights, image, layers)
            numbers = [f"content {evaluation.content_distance(made, seen[frame], work.recipe):.3f}"]
            if work.targets:
                distance = perceptual.style_distance(weights, image, work.targets, work.recipe.style)
                numbers.insert(0, f"style {distance:.3f}")
            numbers.append(f"blobs {blob_share(evaluation.to_bytes(output), exposed):.1%}")
            for other, label in {"instance int8": ("instance", "float"), "int8": ("student", "float")}.items():
                if name == other and label[0] in drawn:
                    numbers.append(f"{snr_db(drawn[label[0]], output):.1f} dB SNR to its {label[1]}")
            if "teacher" in drawn and name in ("student", "int8"):
                numbers.append(f"SSIM to the teacher {ssim((drawn['teacher'] + 1) / 2, (output + 1) / 2):.2f}")
            title = TITLES[name] + ("" if frame == work.recipe.frame else ", trained at another exposure")
            cells.append(_figure(evaluation.to_bytes(output), title, " · ".join(numbers)))
        rows.append(f'<div class="row">{"".join(cells)}</div>')
        if painting.exists():
            rows.append(_full_size(painting, work.recipe.data.painting_width, photo, drawn))
    return "<h3>Each network's pictures</h3>" + "".join(rows)


def _full_size(painting, width, photo, drawn):
    """Pixel for pixel: parts of the painting, as wide as in training, beside the same parts of the pictures."""
    parts = [("the painting", _parts((pictures.painting(painting, width)[0][0] * 255).round().astype("uint8")))]
    parts += [("the frame", _parts(photo, photo))]
    parts += [(TITLES[name], _parts(evaluation.to_bytes(output), photo)) for name, output in drawn.items()]
    cells = [_figure(part, title, "pixel for pixel") for title, part in parts]
    return f'<div class="row whole">{"".join(cells)}</div>'


def _parts(image, flat_in=None):
    """The middle of an image, uint8 (H, W, 3), above its flattest part, or the part where `flat_in` is flattest."""
    (width, height), source = PART, (image if flat_in is None else flat_in).astype(float).mean(-1)
    places = [
        (top, left)
        for top in range(0, max(1, source.shape[0] - height + 1), 20)
        for left in range(0, max(1, source.shape[1] - width + 1), 20)
    ]
    top, left = min(places, key=lambda place: source[place[0] :, place[1] :][:height, :width].std())
    flattest = image[top : top + height, left : left + width]
    top, left = (max(0, image.shape[axis] - side) // 2 for axis, side in ((0, height), (1, width)))
    return np.vstack([image[top : top + height, left : left + width], flattest])


def _figure(pixels, title, numbers=""):
    image = Image.fromarray(pixels)
    image.thumbnail((690, 400))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    source = base64.b64encode(file.getvalue()).decode()
    caption = f"<b>{html.escape(title)}</b><br>{html.escape(numbers)}"
    shown = f'<img alt="{html.escape(title)}" src="data:image/jpeg;base64,{source}">'
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def _gone(title):
    return f'<figure><div class="gone">{html.escape(title)}</div></figure>'


def _temporal(work, painted, path):
    height, width = work.recipe.size
    if path:
        frames = video.clip(path, (height, width), CLIP)
        caption = f"RMS of the picture's change beyond the frame's, over {Path(path).name} (whose flow is unknown)."
    else:
        frames, flows, masks = wandering.clip(OWN_PHOTOS / "rocket.jpg", work.recipe.size, CLIP)
        caption = "Relative e_stab from frame to frame, with exact flow: a wandering camera under changing light."
    figure, axes = curves.pyplot().subplots(figsize=(9, 3.2))
    for name, paint in track(painted.items(), "playing ", console=Console(stderr=True)):
        drawn = [(output + 1) / 2 for output in paint(list(frames))]
        errors = []
        for t, (now, after) in enumerate(zip(drawn, drawn[1:])):
            if path:
                change = (after - now) - (frames[t + 1].astype("float32") - frames[t]) / 255
                errors.append(float(np.sqrt(np.mean(np.square(change)))))
            else:
                warped = np.asarray(flow.warp(after[None].astype("float32"), flows[t][None]))[0]
                errors.append(stability_error(now, warped, masks[t])[1])
        axes.plot(range(1, len(errors) + 1), errors, label=f"{TITLES[name]}: mean {np.mean(errors):.3f}")
    axes.set(xlabel="frame", ylabel="error", ylim=(0, None))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return f"<h3>Temporal error over a clip</h3>{curves.svg(figure)}<p>{html.escape(caption)}</p>"


def _costs(work):
    carried = {plan.name for plan in work.style.manifest.plans} if work.style else set()
    rows = "".join(
        f"<tr><td>{cost.plan}</td><td>{cost.macs / 1e9:.2f}</td><td>{cost.bytes_in / 1e6:.2f}</td>"
        f"<td>{cost.bytes_out / 1e6:.2f}</td><td>{cost.calls}</td><td>{'yes' if cost.plan in carried else ''}</td></tr>"
        for cost in plan_costs(work.recipe.network, work.recipe.size)
    )
    height, width = work.recipe.size
    return (
        f"<h3>What a frame costs, by plan, at {width}x{height}</h3>"
        "<table><tr><th>plan</th><th>GMAC</th><th>MB into the TPU</th><th>MB out of it</th><th>inferences</th>"
        f"<th>in this bundle</th></tr>{rows}</table><p>Counted, not timed.</p>"
    )
