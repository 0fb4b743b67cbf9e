"""The recipe of a style's lite student: a smaller network, trained directly on smaller frames."""

from trainer.recipe import Recipe


def lite_recipe(recipe: Recipe) -> Recipe:
    """What the [lite] of a recipe that has one stands for. Strokes and motion shrink with the frame."""
    assert recipe.lite
    lite, share = recipe.lite, recipe.lite.width / recipe.frame.width
    rate = lite.learning_rate or recipe.student.learning_rate
    loss = lite.loss or recipe.student.loss.model_copy(update={"teacher_output": 0.0, "teacher_features": 0.0})
    to_scale = recipe.style.model_copy(update={"facets": round(recipe.style.facets * share)})
    changes = {
        "data": {"painting_width": lite.painting_width or max(64, int(recipe.data.painting_width * share))},
        "motion": {"pan": float(round(recipe.motion.pan * share))},
        "network": {"widths": lite.widths, "skips": lite.skips},
        "student": {
            "steps": lite.steps,
            "start": lite.start,
            "loss": loss,
            "norm": lite.norm or recipe.student.norm,
            "optimizer": lite.optimizer or recipe.student.optimizer,
            "learning_rate": rate,
            "crop": None,
            "margin": 0,
        },
    }
    sections = {name: getattr(recipe, name).model_copy(update=update) for name, update in changes.items()}
    sections |= {"style": lite.style or to_scale, "polish": lite.polish or recipe.polish, "teacher": None, "lite": None}
    return recipe.sized(lite.height, lite.width).model_copy(update=sections)
