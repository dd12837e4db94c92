"""Steps as cards: what each message and tool call is shown as. HTML is made by viewer.rendering and the templates."""

from viewer.cards.links import Subagents, subagents_of
from viewer.cards.steps import ALONE_CHARS, StepCard, card_of

__all__ = ["ALONE_CHARS", "StepCard", "Subagents", "card_of", "subagents_of"]
