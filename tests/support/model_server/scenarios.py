"""The scenarios: what the model says, as data. The work is that of `examples/tasks/fix-calculator`.

A new scenario is a function from the working folder to a `Script` and its line in `SCENARIOS`. Usage numbers differ
from turn to turn, so that a sum that forgets or doubles one is seen.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from tests.support.model_server.script import (
    Cut,
    Edit,
    Fault,
    FindTools,
    Finish,
    Read,
    Script,
    Shell,
    Stall,
    SubAgent,
    Turn,
    Usage,
    Wait,
)

STALL_SEC = 3600.0
"""Longer than any time limit: the agent has to be killed."""

FIX_SUBTRACT = ("    return right - left", "    return left - right")
FIX_DIVIDE = (
    "    if divisor == 0:\n        return 0\n    return dividend / divisor",
    "    return dividend / divisor",
)
FIX_AVERAGE = (
    r"sed -i -e 's/in values\[1:\]:/in values:/' "
    r"""-e 's/^    total = 0\.0$/    if not values:\n        raise ValueError("no values")\n    total = 0.0/' """
    "calculator.py && tail -n 8 calculator.py"
)
CHECK = 'python3 -c "import calculator as c; print(c.subtract(5, 3), c.average([1, 2, 3]))"'


def look(workdir: str) -> Turn:
    """Reads the module; says something beyond ASCII."""
    return Turn(
        reasoning="The instruction names three functions. I read the module before I change it.",
        text="I'll read the calculator first — déjà vu ✓ 計算機.",
        calls=(Read(f"{workdir}/calculator.py"),),
        usage=Usage(uncached=1201, write=4099, out=157, reasoning=61),
    )


def edit(workdir: str) -> Turn:
    """Mends one function with the agent's own tool for edits."""
    return Turn(
        reasoning="subtract has its operands the wrong way round.",
        text="The operands of subtract are swapped.",
        calls=(Edit(f"{workdir}/calculator.py", *FIX_SUBTRACT),),
        usage=Usage(uncached=211, read=5303, write=307, out=89, reasoning=23),
    )


def edit_more(workdir: str) -> Turn:
    """Mends the second one, without reasoning."""
    return Turn(
        text="Now divide, which hides the error.",
        calls=(Edit(f"{workdir}/calculator.py", *FIX_DIVIDE),),
        usage=Usage(uncached=127, read=5813, write=223, out=103),
    )


def run_shell(_: str) -> Turn:
    """Mends the third one from the command line."""
    return Turn(
        reasoning="average skips the first value, and must refuse an empty list.",
        text="At last average.",
        calls=(Shell(FIX_AVERAGE, "Fix average"),),
        usage=Usage(uncached=173, read=6151, write=349, out=191, reasoning=47),
    )


def run_failing(_: str) -> Turn:
    """A command that fails."""
    return Turn(
        reasoning="Let me run a test module; it may not exist.",
        text="Now I run the tests.",
        calls=(Shell("python3 -m unittest no_such_module", "Run the tests"),),
        usage=Usage(uncached=139, read=6673, write=263, out=83, reasoning=19),
    )


def check(workdir: str) -> Turn:
    """Two calls at once, and no text."""
    return Turn(
        reasoning="That module does not exist. I read the file and try the functions directly.",
        calls=(Read(f"{workdir}/calculator.py"), Shell(CHECK, "Try the functions")),
        usage=Usage(uncached=113, read=7079, write=401, out=131, reasoning=37),
    )


def report(_: str) -> Turn:
    """The final answer."""
    return Turn(
        reasoning="Everything works, so I can report.",
        text="Fixed: subtract, divide and average do what the instruction says — vérifié ✓.",
        calls=(Finish("The three functions are fixed."),),
        usage=Usage(uncached=97, read=7591, out=71, reasoning=11),
    )


def fix(workdir: str) -> tuple[Turn, ...]:
    """The seven turns that solve the task."""
    steps = (look, edit, edit_more, run_shell, run_failing, check, report)
    return tuple(step(workdir) for step in steps)


def basic(workdir: str) -> Script:
    """Solves the task."""
    return Script(fix(workdir))


def subagent(workdir: str) -> Script:
    """Two children look at the file, one after the other, before the parent solves the task."""
    inspect = SubAgent(
        "inspect", f"Look at {workdir}/calculator.py and report which lines are wrong.", "Inspect the module"
    )
    count = SubAgent("count", f"Count the functions in {workdir}/calculator.py.", "Count functions")
    main = (
        Turn(
            reasoning="I look for a tool to start sub-agents.",
            calls=(FindTools(),),
            usage=Usage(uncached=31, read=907, write=53, out=29, reasoning=5),
        ),
        Turn(
            reasoning="I delegate the inspection.",
            text="I'll ask a sub-agent to inspect the module.",
            calls=(inspect,),
            usage=Usage(uncached=1009, write=4001, out=101, reasoning=31),
        ),
        Turn(calls=(Wait(),), usage=Usage(uncached=67, read=5011, write=109, out=41)),
        Turn(text="And another one to count.", calls=(count,), usage=Usage(uncached=79, read=5189, write=149, out=59)),
        Turn(calls=(Wait(),), usage=Usage(uncached=73, read=5417, write=137, out=43)),
    )
    return Script(main + fix(workdir), {"inspect": _inspecting(workdir), "count": _counting(workdir)})


def _inspecting(workdir: str) -> tuple[Turn, ...]:
    return (
        Turn(
            reasoning="I am the sub-agent; I look at the returns.",
            text="Checking calculator.py.",
            calls=(Shell(f"grep -n return {workdir}/calculator.py", "Look at the returns"),),
            usage=Usage(uncached=307, write=1013, out=47, reasoning=13),
        ),
        Turn(
            text="Sub-agent report: line 9 swaps the operands.",
            calls=(Finish("Line 9 swaps the operands."),),
            usage=Usage(uncached=61, read=1319, write=83, out=37),
        ),
    )


def _counting(workdir: str) -> tuple[Turn, ...]:
    return (
        Turn(
            calls=(Shell(f"grep -c '^def ' {workdir}/calculator.py", "Count the functions"),),
            usage=Usage(uncached=311, write=1021, out=33),
        ),
        Turn(
            text="Sub-agent report: five functions.",
            calls=(Finish("Five functions."),),
            usage=Usage(uncached=89, read=1327, write=71, out=27),
        ),
    )


def retry(workdir: str) -> Script:
    """Refusals before the first two turns and a broken stream in the last one; the next try of each passes."""
    turns = list(fix(workdir))
    turns[0] = replace(turns[0], errors=(Fault.OVERLOADED,))
    turns[1] = replace(turns[1], errors=(Fault.SERVER, Fault.RATE_LIMIT))
    turns[-1] = replace(turns[-1], errors=(Cut(),))
    return Script(tuple(turns))


def cut(workdir: str) -> Script:
    """A stream breaks amid the work. Gemini CLI 0.61 gives the task up; the others ask again."""
    turns = list(fix(workdir))
    turns[3] = replace(turns[3], errors=(Cut(),))
    return Script(tuple(turns))


def early_end(workdir: str) -> Script:
    """The final stream ends in the middle of its text as if it were whole; Gemini CLI takes it for that."""
    turns = list(fix(workdir))
    turns[-1] = replace(turns[-1], errors=(Cut(ends_cleanly=True),))
    return Script(tuple(turns))


def stall(workdir: str) -> Script:
    """The second turn stops after half of its text, for longer than any limit."""
    turns = list(fix(workdir))
    turns[1] = replace(turns[1], stall=Stall(STALL_SEC))
    return Script(tuple(turns))


def compact(workdir: str) -> Script:
    """The second turn reports a nearly full context window; agents that compact do so before the third."""
    turns = list(fix(workdir))
    turns[1] = replace(turns[1], usage=Usage(uncached=1009, read=180_001, write=5003, out=97, reasoning=29))
    return Script(tuple(turns))


def auth(workdir: str) -> Script:
    """The key is refused, always."""
    return Script(fix(workdir), refuses_all=Fault.AUTH)


def fatal(workdir: str) -> Script:
    """From the second turn on every prompt is too long, also that of a compaction."""
    turns = list(fix(workdir))
    turns[1] = replace(turns[1], errors=(Fault.CONTEXT,), last_error_repeats=True)
    refused = Turn(errors=(Fault.CONTEXT,), last_error_repeats=True)
    return Script(tuple(turns), compaction=(refused,))


def overflow_loop(workdir: str) -> Script:
    """From the second turn on every prompt is too long, but a compaction is answered: OpenCode goes round for ever."""
    turns = list(fix(workdir))
    turns[1] = replace(turns[1], errors=(Fault.CONTEXT,), last_error_repeats=True)
    return Script(tuple(turns))


def format_error(workdir: str) -> Script:
    """Two answers without a call before the final one; mini-swe-agent asks for the right form each time."""
    *turns, last = fix(workdir)
    plain = (
        Turn(text="I think it is done.", usage=Usage(uncached=101, read=7283, out=13)),
        Turn(text="It really is done.", usage=Usage(uncached=107, read=7393, out=17)),
    )
    return Script((*turns, *plain, last))


SCENARIOS: Mapping[str, Callable[[str], Script]] = {
    "basic": basic,
    "subagent": subagent,
    "retry": retry,
    "cut": cut,
    "early-end": early_end,
    "stall": stall,
    "compact": compact,
    "auth": auth,
    "fatal": fatal,
    "overflow-loop": overflow_loop,
    "format-error": format_error,
}
