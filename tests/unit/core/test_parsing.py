"""Layout and payloads of replies: the parser vectors of the algorithm, and hostile text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroloop.core.parsing import (
    InductionProposal,
    Malformation,
    ProgramProposal,
    Solution,
    answer_body,
    format_ok,
    parse_induction_proposal,
    parse_program_proposal,
    parse_solution,
    thought,
)
from zeroloop.core.presets import PAPER
from zeroloop.core.tasks import Kind

F = "def f(x):\n    return x"


def reply(body: str) -> str:
    return f"I think.</think> <answer>{body}</answer>"


def proposal(program: str = F, inputs: str = "```input\n5\n```") -> str:
    return reply(f"```python\n{program}\n```\n{inputs}")


def inputs(count: int, first: int = 0) -> str:
    return "\n".join(f"```input\n{index}\n```" for index in range(first, first + count))


@pytest.mark.parametrize(
    ("text", "well_formed"),
    [
        ("a</think><answer>b</answer>", True),
        ("a</think> \n <answer>b\n</answer> and more", True),
        ("<think>a</think><answer></answer>", True),
        ("a</think> b <answer>c</answer>", False),
        ("a</think> b</think><answer>c</answer>", True),
        ("a <answer>b</answer>", False),
        ("a</think><answer>b", False),
        ("<answer>b</answer></think>", False),
        ("", False),
    ],
)
def test_layout(text: str, *, well_formed: bool) -> None:
    assert format_ok(text) is well_formed


@pytest.mark.parametrize(
    ("text", "body"),
    [
        pytest.param("no tags", "", id="no answer"),
        pytest.param("<answer>a</answer><answer> b </answer> c", "b", id="the last of two"),
        pytest.param("<answer>a", "a", id="an open answer runs to the end"),
        pytest.param("\\boxed{1}", "", id="boxed is off by default"),
    ],
)
def test_answer_body(text: str, body: str) -> None:
    assert answer_body(text) == body


def test_the_last_boxed_result_counts_if_that_is_on() -> None:
    assert answer_body(r"\boxed{1} \boxed{ {2} + 3 } }", boxed_retry=True) == "{2} + 3"
    assert answer_body(r"\boxed{1", boxed_retry=True) == ""
    assert answer_body(r"<answer>x</answer> \boxed{1}", boxed_retry=True) == "x"


def test_thought_is_what_precedes_the_answer() -> None:
    assert thought(" plan </think> rest") == "plan"
    assert thought(" only plan ") == "only plan"


def test_a_proposal_is_read() -> None:
    text = proposal("from math import pi\nimport os\n\ndef f(x):\n    import re\n    return x")
    assert parse_program_proposal(text, PAPER) == ProgramProposal(
        program="def f(x):\n    import re\n    return x",
        imports=("from math import pi", "import os", "import re"),
        input="5",
    )


@pytest.mark.parametrize(
    ("text", "malformation"),
    [
        (reply("```input\n5\n```\n```python\ndef f(x): return x\n```"), Malformation.INPUT_FIRST),
        (reply("def f(x): return x"), Malformation.NO_PROGRAM),
        ("```python\ndef f(x): return x\n``````input\n5\n```", Malformation.NO_PROGRAM),
        (proposal("x = 5"), Malformation.NO_FUNCTION),
        (
            proposal("def f(x):\n    def g(y): return y\n    return g(x)"),
            Malformation.MANY_FUNCTIONS,
        ),
        (
            proposal("class A:\n    def g(self): pass\ndef f(x): return x"),
            Malformation.MANY_FUNCTIONS,
        ),
        (proposal(inputs=""), Malformation.NO_INPUT),
        (proposal(inputs="```input\n\n```"), Malformation.NO_INPUT),
        (proposal(inputs="```input\n'" + "x" * 65_536 + "'\n```"), Malformation.TOO_LARGE),
        (proposal(F + "#" * 65_536), Malformation.TOO_LARGE),
        ("", Malformation.NO_PROGRAM),
    ],
)
def test_a_malformed_proposal_is_data(text: str, malformation: Malformation) -> None:
    assert parse_program_proposal(text, PAPER) is malformation


@pytest.mark.parametrize(
    ("program", "location", "renamed"),
    [
        pytest.param(
            "def g(x):\n    return g(x - 1)", "not_first", "f(x):\n    return f(x - 1)", id="g"
        ),
        pytest.param(
            "def g(x):\n    return x.g(1)", "not_first", "f(x):\n    return x.g(1)", id="method"
        ),
        pytest.param(
            "def a(x): return b(x)\ndef b(x): return x",
            "not_last",
            "a(x): return f(x)\ndef f(x): return x",
            id="last",
        ),
        pytest.param(
            "def a(x): return x\ndef f(x): return a(x)",
            "any_first",
            "a(x): return x\ndef f(x): return a(x)",
            id="any f",
        ),
        pytest.param(
            "def a(x): return x\ndef b(x): return a(x)",
            "any_last",
            "a(x): return x\ndef f(x): return a(x)",
            id="any last",
        ),
        pytest.param(
            "def a(x): return x\ndef b(x): return a(x)",
            "any_first",
            "f(x): return x\ndef b(x): return f(x)",
            id="any first",
        ),
    ],
)
def test_the_entry_point_becomes_f(program: str, location: str, renamed: str) -> None:
    options = PAPER.with_changes(
        {"f_replace_location": location, "reject_multiple_functions": False}
    )
    found = parse_program_proposal(proposal(program), options)
    assert isinstance(found, ProgramProposal)
    assert found.program == f"def {renamed}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(reply(f"```PYTHON\n{F}\n``` ```INPUT\n5\n```"), id="upper case"),
        pytest.param(reply(f"```\n{F}\n```\n```input 5```"), id="no info string, one line"),
        pytest.param(reply(f"```py\n{F}\n```\n# Input: 5"), id="input heading"),
        pytest.param(reply(f"```python {F}```# Input:\n5\n```"), id="heading before a fence"),
        pytest.param(
            reply(f"```python\n{F}\n```\n```input\n5\n```\n```input\n6\n```"), id="first input"
        ),
        pytest.param(
            reply(f"```python\n{F}\n```\n```input\n5\n```\n```python\nx\n```"), id="first code"
        ),
    ],
)
def test_variants_of_fences_are_read(text: str) -> None:
    assert parse_program_proposal(text, PAPER) == ProgramProposal(F, (), "5")


def test_the_last_block_can_be_the_program() -> None:
    text = reply(f"```python\nx\n```\n```input\n5\n```\n```python\n{F}\n```")
    options = PAPER.with_changes({"code_location": "last"})
    assert parse_program_proposal(text, options) == ProgramProposal(F, (), "5")


def test_test_inputs_in_the_program_can_be_refused() -> None:
    options = PAPER.with_changes({"reject_test_input_in_code": True})
    for line in ("test_input = 5", "print(f(5))", "# Example usage:", "f(5)", "result = f(5)"):
        text = proposal(f"{F}\n{line}")
        assert parse_program_proposal(text, options) is Malformation.TEST_INPUT_IN_PROGRAM
        assert isinstance(parse_program_proposal(text, PAPER), ProgramProposal)
    assert isinstance(parse_program_proposal(proposal(), options), ProgramProposal)


def test_seeding_reads_the_whole_reply_and_strips_comments_and_globals() -> None:
    text = (
        "Here:\n```python\nimport math\nN = 3\ndef f(x):\n    '''Doc.'''\n    # why\n"
        "    return x\nprint(f(1))\n```\n```input\n5\n```"
    )
    assert parse_program_proposal(text, PAPER) is Malformation.NO_PROGRAM
    found = parse_program_proposal(text, PAPER, seeding=True)
    assert found == ProgramProposal("def f(x):\n    return x", ("import math",), "5")


def test_self_play_keeps_comments_and_globals() -> None:
    program = 'N = 3\ndef f(x):\n    """Doc."""\n    # why\n    return x'
    found = parse_program_proposal(proposal(program), PAPER)
    assert isinstance(found, ProgramProposal)
    assert found.program == program


def test_of_11_inputs_the_last_10_count() -> None:
    text = reply(f"{inputs(11)}\n```message\nDouble it.\n```")
    found = parse_induction_proposal(text, PAPER)
    assert found == InductionProposal(tuple(str(index) for index in range(1, 11)), "Double it.")


@pytest.mark.parametrize(
    ("text", "malformation"),
    [
        (reply(f"{inputs(9)}\n```message\nm\n```"), Malformation.FEW_INPUTS),
        (reply(inputs(10)), Malformation.NO_MESSAGE),
        (reply(f"{inputs(10)}```message\n\n```"), Malformation.NO_MESSAGE),
        (f"{inputs(10)}```message\nm\n```", Malformation.FEW_INPUTS),
        (reply(f"{inputs(10)}```message\n{'m' * 65_537}\n```"), Malformation.TOO_LARGE),
    ],
)
def test_a_malformed_induction_proposal_is_data(text: str, malformation: Malformation) -> None:
    assert parse_induction_proposal(text, PAPER) is malformation


@pytest.mark.parametrize("message", ["```message\nm\n```", "<message>m</message>", "# Message: m"])
def test_the_message_has_three_spellings(message: str) -> None:
    found = parse_induction_proposal(reply(f"{inputs(10)}\n{message}"), PAPER)
    assert isinstance(found, InductionProposal)
    assert found.message == "m"


def test_seeding_reads_induction_from_the_whole_reply() -> None:
    text = f"{inputs(10)}\n```message\nm\n```"
    assert isinstance(parse_induction_proposal(text, PAPER, seeding=True), InductionProposal)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        pytest.param("```input\n1\n```\n```input\n'a', 2\n```", "'a', 2", id="last fence"),
        pytest.param("# Input: 1\n# Input: [2]", "[2]", id="last heading"),
        pytest.param("input((1, 2))", "(1, 2)", id="call"),
        pytest.param("<input>{1: 2}</input>", "{1: 2}", id="tag"),
        pytest.param("So the input is 7", "7", id="sentence"),
        pytest.param("7, 8", "7, 8", id="whole body"),
        pytest.param("```input\n1\n```\nthe input is 2", "1", id="fence before sentence"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_an_input_answer_is_the_last_match_of_the_first_rule(body: str, answer: str) -> None:
    assert parse_solution(reply(body), Kind.ABDUCTION, PAPER) == Solution(answer, format_ok=True)


def test_an_output_answer_has_the_same_ladder() -> None:
    for body in ("```output\n[1]\n```", "# Output: [1]", "the output is: [1]", "[1]"):
        found = parse_solution(reply(body), Kind.DEDUCTION, PAPER)
        assert found == Solution("[1]", format_ok=True)


def test_a_program_answer_is_the_last_block_of_any_kind() -> None:
    text = reply(f"```python\nold\n```\n```\n{F}\n```")
    assert parse_solution(text, Kind.INDUCTION, PAPER) == Solution(F, format_ok=True)


def test_a_program_answer_without_a_block_has_no_format() -> None:
    assert parse_solution(reply(F), Kind.INDUCTION, PAPER) == Solution("", format_ok=False)


def test_the_answer_is_read_whatever_the_layout() -> None:
    found = parse_solution("<answer>```output\n1\n```</answer>", Kind.DEDUCTION, PAPER)
    assert found == Solution("1", format_ok=False)


def test_any_layout_counts_if_the_format_reward_is_off() -> None:
    options = PAPER.with_changes({"format_reward": False})
    assert parse_solution("7", Kind.DEDUCTION, options).format_ok


FRAGMENTS = (
    *("</think>", "<answer>", "</answer>", "```", "```python\n", "```input\n", "```message\n"),
    *(
        "# Input:",
        "\\boxed{",
        "import os\n",
        "return x",
        "def f(x):",
        "\n",
        "'",
        "#",
        "\0",
        "\ud800",
    ),
)
TOKENS = st.sampled_from(FRAGMENTS)


@given(st.lists(TOKENS | st.text(max_size=3), max_size=40).map("".join))
@settings(deadline=None, max_examples=200)
def test_no_reply_raises(text: str) -> None:
    for seeding in (False, True):
        parse_program_proposal(text, PAPER, seeding=seeding)
        parse_induction_proposal(text, PAPER, seeding=seeding)
    for kind in Kind:
        parse_solution(text, kind, PAPER)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("</think>" * 5000, id="ends of thought"),
        pytest.param("<answer>```" + " " * 40_000, id="blanks after a fence"),
        pytest.param("<answer>```input" + "\n" * 40_000, id="lines after a fence"),
        pytest.param("<answer># Input:" + " " * 40_000 + "\n" * 100, id="blanks after a heading"),
        pytest.param("<answer>" + "input(" * 6000, id="open calls"),
        pytest.param("<answer>```python\n" + "\n" * 40_000 + "```", id="blank lines in a program"),
        pytest.param("<answer>```python\n" + "def f(" * 6000 + "```", id="open definitions"),
        pytest.param("<answer>```python\ndef f(x): " + "(" * 40_000 + "```", id="brackets"),
        pytest.param(
            "<answer>```python\ndef f(x): x" + "+1" * 20_000 + "```\n```input\n1\n```", id="sums"
        ),
        pytest.param("<answer>" + "`" * 40_000, id="backticks"),
    ],
)
def test_hostile_replies_cost_little_time(text: str) -> None:
    start_s = time.process_time()
    parse_program_proposal(text, PAPER, seeding=True)
    parse_induction_proposal(text, PAPER)
    for kind in Kind:
        parse_solution(text, kind, PAPER)
    assert time.process_time() - start_s < 2
