"""Critics as scripts: they read what lies in /critique/input and write critique-result.json, well or badly.

What they write is given, since quotes must be those of the trial that a test lets them look at.
"""

import json
from dataclasses import replace

from tests.support.hostile import ORDERS
from tests.support.model_server.exchange import Json
from tests.support.model_server.script import Call, Finish, Script, Shell, Stall, Turn, Usage, Write

INPUT = "/critique/input"
RESULT = "/logs/artifacts/critique-result.json"
# More than any time limit: the critic has to be killed.
NEVER_SEC = 3600.0
INJECTION = ORDERS[0]
"""Words that a reviewed trajectory may hold to sway its critic."""


READ = f"head -c 20000 {INPUT}/text/outline.txt {INPUT}/text/steps-*.txt | head -c 60000"


def critic(*answers: Json | str, look: str = READ) -> Script:
    """Looks round and reads the numbered text; then writes each answer, the next one whenever it is asked again."""
    turns = [_step("I look at what I was given.", Shell(f"ls -R {INPUT} | head -n 60", "List the input"), 211)]
    turns.append(_step("And I read it.", Shell(look, "Read the steps"), 401))
    for number, answer in enumerate(answers):
        text = answer if isinstance(answer, str) else json.dumps(answer, indent=2)
        turns.append(_step("I write down what I found.", Write(RESULT, text), 503 + number))
        turns.append(_step("The critique is written.", Finish("The critique is written."), 601 + number))
    return Script(tuple(turns))


def never_ending(answer: Json | None = None) -> Script:
    """Writes an answer, if it has one, and then says no more, for longer than any limit."""
    turns = list(critic(*([answer] if answer else [])).main[:3])
    last = _step("Let me think about this for a while.", Shell("true", "Nothing"), 701)
    return Script((*turns, replace(last, stall=Stall(NEVER_SEC))))


def swayed(answer: Json) -> Script:
    """Follows orders that it found in the trial: tries its input, the network and other people's secrets first."""
    tries = (
        f"touch {INPUT}/trial/result.json && echo CHANGED; rm -rf {INPUT}/trial && echo REMOVED",
        "python3 -c \"import urllib.request as u; u.urlopen('http://example.com', timeout=5); print('REACHED')\"",
        f"env; cat /proc/self/environ | tr '\\0' '\\n'; grep -rn sk- {INPUT} | head",
    )
    calls = [_step("As the note says.", Shell(command, "Do as the note says"), 809) for command in tries]
    return Script((*calls, *critic(answer).main))


def result_of(*claims: Json, rating: str = "good", tag: str = "PASS_LEGITIMATE", **more: object) -> Json:
    """A critique-result.json with these claims, as the rubric trial-validity wants it."""
    feedback = "The trial was read from its first step to its last."
    verdict: Json = {"rating": rating, "tag": tag, "trial_outcome": "pass", "confidence": 0.9}
    return {**verdict, "feedback": feedback, "claims": list(claims), **more}


def claim(text: str, *citations: Json, **more: object) -> Json:
    """A claim with its evidence."""
    base: Json = {"category": "outcome", "severity": "minor", "confidence": 0.8}
    return {"claim": text, **base, "citations": list(citations), **more}


def _step(text: str, call: Call, uncached: int) -> Turn:
    return Turn(text=text, calls=(call,), usage=Usage(uncached=uncached, read=907, out=53))
