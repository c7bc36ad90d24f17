"""The mini tokenizer: times are single tokens, text round-trips, training repeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.school.tokenizer import SPECIAL_TOKENS, train_tokenizer

CORPUS = ["How many times does the figure jump?", "The red square is left of the blue circle.", "Jumps at <1.2 seconds>."] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CORPUS, max_seconds=12.0, decimals=(1, 2), vocab_size=4096)


def test_every_time_is_one_token(tokenizer):
    for seconds in (0, 1.2, 9.9, 10, 12):
        assert len(tokenizer(f"<{seconds:.1f} seconds>")["input_ids"]) == 1
    assert len(tokenizer("<3.14 seconds>")["input_ids"]) == 1


def test_a_time_beyond_the_corpus_still_round_trips(tokenizer):
    ids = tokenizer("<345.6 seconds>")["input_ids"]
    assert len(ids) > 1 and tokenizer.decode(ids) == "<345.6 seconds>"


def test_a_time_is_one_token_within_a_prompt(tokenizer):
    text = "<|vision_start|><|image_pad|><|vision_end|>\n<1.2 seconds><|vision_start|>"
    assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])[-2:] == ["<1.2Ġseconds>", "<|vision_start|>"]


@pytest.mark.parametrize("token", SPECIAL_TOKENS)
def test_special_tokens_are_whole_and_are_left_out_of_answers(tokenizer, token):
    ids = tokenizer(token)["input_ids"]
    assert len(ids) == 1 and tokenizer.decode(ids, skip_special_tokens=True) == ""


@given(st.text(max_size=60))
def test_any_text_round_trips(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_same_corpus_same_tokenizer(tokenizer):
    again = train_tokenizer(CORPUS, max_seconds=12.0, decimals=(1, 2), vocab_size=4096)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_vocabulary_is_bounded():
    assert len(train_tokenizer(CORPUS, vocab_size=300)) == 300
