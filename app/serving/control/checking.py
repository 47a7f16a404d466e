"""Checks what operators write against the catalogue that serves.

Unknown fields, and filters that do not fit, are refused, as in a request. Unknown items are only
warned of: they may come later.
"""

from dataclasses import dataclass

from app.core.errors import InvalidRequestError
from app.core.ports import Engine
from app.domain.filters import filter_text, no_such_field
from app.domain.rule import Rule


@dataclass(frozen=True, slots=True)
class ControlWarning:
    """Something that was taken, but looks wrong.

    Attributes:
        name: of the rule or scenario.
        message: what it is.
        field: where it is.
    """

    name: str
    message: str
    field: str


def check_rule(rule: Rule, engine: Engine, where: str = "") -> list[ControlWarning]:
    """Check one rule; `where`: the path of it in what was sent, with a dot at its end.

    Raises:
        InvalidRequestError: the catalogue has no such field, or its values are of another kind.
    """
    if rule.some_items is not None:
        field = f"{where}{rule.action}.filter"
        engine.check_filter(filter_text(rule.some_items, field), field)
    intent = None if rule.when is None else rule.when.intent
    if intent is not None:
        known = engine.info.attributes
        for name in intent.filters or ():
            if name not in known:
                raise no_such_field(name, known, f"{where}when.intent.filters")
    if rule.pin is not None and not engine.contains(rule.pin.item_id):
        message = "the catalogue has no such item; the rule applies once it is there"
        return [ControlWarning(rule.id, message, f"{where}pin.item_id")]
    return []


def problem_of(rule: Rule, engine: Engine) -> str | None:
    """Return why a rule cannot apply to this catalogue; None if it can."""
    try:
        check_rule(rule, engine)
    except InvalidRequestError as error:
        return f"{error.field}: {error.message}"
    return None
