"""Every word that a user typed for a coding tool is kept, once, where it belongs."""

from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.adapters.words import Grammar, Typed, take_apart

GRAMMAR = Grammar(
    valued=frozenset({"-m", "--model"}), greedy=frozenset({"--tools"}), maybe=frozenset({"-r", "--resume"})
)
WORDS = st.lists(
    st.sampled_from(
        ["-m", "--model", "--model=x", "-mx", "--tools", "-r", "--resume", "-p", "--json", "--", "-"]
    )
    | st.text(max_size=4),
    max_size=12,
)


@given(WORDS)
def test_nothing_is_lost_nor_made_up(arguments):
    typed = take_apart(arguments, GRAMMAR)
    kept = sorted([*typed.flat, *typed.words])
    dashes = arguments.index("--") if "--" in arguments else None
    wanted = list(arguments)
    if dashes is not None and len(kept) < len(arguments):
        wanted.remove("--")
    assert kept == sorted(wanted)


@given(WORDS)
def test_words_keep_their_order(arguments):
    typed = take_apart(arguments, GRAMMAR)
    rest = iter(arguments)
    assert all(word in rest for word in typed.words)


@given(WORDS, st.sets(st.sampled_from(["-m", "--model", "--tools", "-p"])))
def test_what_is_taken_out_is_out(arguments, names):
    left = take_apart(arguments, GRAMMAR).without(names)
    assert not left.has(*names)
    assert left.words == take_apart(arguments, GRAMMAR).words


def test_a_value_is_found_however_it_is_attached():
    for arguments in (["-m", "x"], ["-mx"], ["-m=x"], ["--model", "x"], ["--model=x"]):
        assert take_apart(arguments, GRAMMAR).value("-m", "--model") == "x"
    assert take_apart(["-m", "x", "--model", "y"], GRAMMAR).value("-m", "--model") == "y"
    assert take_apart(["-p"], GRAMMAR).value("-p") is None


def test_greedy_options_stop_at_the_next_option_and_optional_values_are_optional():
    assert take_apart(["--tools", "a", "b", "-p", "do it"], GRAMMAR) == Typed(
        options=(("--tools", "a", "b"), ("-p",)), words=("do it",)
    )
    assert take_apart(["-r", "-p", "x"], GRAMMAR).options == (("-r",), ("-p",))
    assert take_apart(["--", "-p"], GRAMMAR).words == ("-p",)
