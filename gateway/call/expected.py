"""What kind of answer the agent's words ask for: the words of five languages, as data.

Only the last sentence counts, because it is the question. A wrong guess costs a caller a few tenths
of a second at most, so a short list that is seldom wrong is better than a long one.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


class Expected(Enum):
    """Kinds of answers that take other pauses than talk does."""

    ANYTHING = "anything"
    DICTATION = "dictation"
    """A number, an address, something spelled: said in groups, with pauses."""
    NAME = "name"
    """Somebody's name: two or three words, now and then with a pause between."""
    YES_OR_NO = "yes-or-no"


def _words(*languages: str) -> re.Pattern[str]:
    """One pattern out of alternatives per language, as whole words."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(languages)})(?!\w)", re.IGNORECASE)


_LAST_SENTENCE: Final = re.compile(r"[^.!?…]*[.!?…]*\s*$")
_DICTATED: Final = _words(
    r"(?:\w+ )?numbers?|digits?|zip|postcode|postal code|address|spell\w*|e-?mail|date of birth|licen[cs]e plate",
    r"\w*nummer|ziffern?|postleitzahl|adresse|anschrift|buchstabier\w*|geburtsdatum|kennzeichen",
    r"numéro|chiffres?|code postal|adresse|épel\w*|date de naissance",
    r"número|dígitos?|código postal|dirección|deletre\w*|fecha de nacimiento",
    r"numero|cifre|codice postale|indirizzo|lettera per lettera|data di nascita",
)
_NAMED: Final = _words("name", "namen?", "nom", "nombre", "nome", "llama", "chiama", "appelez")
_ASKED_FOR: Final = _words(
    "please|say|tell|give|enter|spell|need|have|get|take|repeat|confirm me",
    "bitte|nennen|sagen|geben|brauche|haben|buchstabieren",
    "donnez|dites|indiquez|avoir|épelez",
    "diga|deme|indique|tener|deletree",
    "dica|mi dia|avere",
)
_YES_NO: Final = re.compile(
    r"^\W*(?:(?:and|so|well|okay|ok|great|alright|und|also|et|alors|y|entonces|e|allora)[ ,]+)*"
    r"(?:is|are|was|were|do|does|did|have|has|can|could|will|would|shall|should|may|might"
    r"|ist|sind|haben|hat|kann|können|könnten|möchten|wollen|soll|sollen|stimmt|passt|darf"
    r"|est-ce que|voulez-vous|souhaitez-vous|puis-je|êtes-vous|avez-vous"
    r"|es|está|quiere|desea|tiene|puedo|le gustaría"
    r"|è|vuole|desidera|ha|posso|le va)(?!\w)",
    re.IGNORECASE,
)
_TAG: Final = re.compile(
    r"(?<!\w)(?:yes or no|right|correct|ja oder nein|richtig|oui ou non|d'accord|sí o no|correcto|verdad"
    r"|sì o no|giusto|vero)\W*$",
    re.IGNORECASE,
)
_CHOICE: Final = _words("or", "oder", "ou", "o", "oppure")


def expected_answer(agent_text: str) -> Expected:
    """What the last sentence of the agent's message asks for, as far as words tell."""
    found = _LAST_SENTENCE.search(agent_text.rstrip())
    last = "" if found is None else found.group(0).strip()
    if last.endswith("?"):
        return _question(last)
    return _thing(last) if _ASKED_FOR.search(last) else Expected.ANYTHING


def _question(last: str) -> Expected:
    if _TAG.search(last):
        return Expected.YES_OR_NO
    if not _YES_NO.search(last):
        return _thing(last)
    # "May I have your number?" begins like a question of yes or no and is none.
    thing = _thing(last)
    if thing is not Expected.ANYTHING and _ASKED_FOR.search(last):
        return thing
    return Expected.ANYTHING if _CHOICE.search(last) else Expected.YES_OR_NO


def _thing(last: str) -> Expected:
    if _DICTATED.search(last):
        return Expected.DICTATION
    return Expected.NAME if _NAMED.search(last) else Expected.ANYTHING
