"""From which value a rating is positive, where the recipe does not say it.

The default, 3.5, is made for five stars. Other scales are known by their highest value: of ten, of
a hundred, and from 0 to 1. Seven tenths of the scale are the same share as 3.5 of five stars.
"""

import math
from typing import Final

import numpy as np

from app.domain.event_rules import DEFAULT_EVENT_RULES, RATING_KIND
from app.offline.input.events import Events
from app.offline.input.recipe import Recipe

_DEFAULT: Final = DEFAULT_EVENT_RULES[RATING_KIND]
_SHARE: Final = 0.7
_SCALES: Final = (10.0, 100.0)
_STARS: Final = 5.0


def with_rating_scale(recipe: Recipe, events: Events, *, stored: bool = False) -> Recipe:
    """Return a recipe whose rule for ratings fits the scale of the log, and note it in its report.

    A rule of the recipe stays as it is. `stored`: it comes from a bundle, which has all rules.
    """
    rule = recipe.weights[RATING_KIND]
    # Elsewhere the very object, and not one like it: somebody may have written the same numbers.
    is_default = rule is _DEFAULT or (stored and rule == _DEFAULT)
    least = _positive_from(events) if is_default else None
    if least is None:
        return recipe
    events.report.notes.append(
        f"ratings: a value from {least:g} is positive, by the highest value "
        f"(a guess: [weights.rating] positive_from in the recipe says it)"
    )
    rule = _DEFAULT.model_copy(update={"positive_from": least})
    return recipe.model_copy(update={"weights": {**recipe.weights, RATING_KIND: rule}})


def _positive_from(events: Events) -> float | None:
    """Return the least positive value of a scale that is not one of five stars."""
    if RATING_KIND not in events.kinds:
        return None
    values = events.value[events.event == events.kinds.index(RATING_KIND)]
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    highest, lowest = float(values.max()), float(values.min())
    if highest > _STARS:
        scale = next((each for each in _SCALES if highest <= each), math.ceil(highest))
        return round(_SHARE * scale, 6)
    # Whole numbers from 1 on are stars, even if nobody gave more than one.
    return _SHARE if 0.0 <= lowest < 1.0 and highest <= 1.0 else None
