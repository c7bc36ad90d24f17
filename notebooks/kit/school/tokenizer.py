"""A small text tokenizer for the mini model, trained here, with the published special tokens.

Byte-level BPE as in Qwen3, so that any text round-trips. A time such as `<1.2 seconds>` is one pre-token, so training merges
it into a single token: six tokens a time made mini training twice as dear and slower to learn. The prompt's text is the
published one either way.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ov2lib.model.prompt import CHAT_TEMPLATE, IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, time_tag

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD)
TIME = r"<\d+\.\d+ seconds>"
# Words and numbers with the space before them, runs of marks, line ends, other white space. Qwen3 cuts numbers into digits;
# here a number that the corpus holds is one token, as a time tag is: there are few, and to copy one is then one step.
OPENING = r"system\nYou are a helpful assistant\."  # the same in every prompt
PIECES = r" ?\p{L}+| ?\d+(?:\.\d+)?| ?[^\s\p{L}\d]+|\s*\n+|\s+"
CHAT = ("system\nYou are a helpful assistant.", "user\n", "assistant\n", "\n", "yes", "no")


def train_tokenizer(
    corpus: Iterable[str], vocab_size: int = 2048, max_seconds: float = 16.0, decimals: tuple[int, ...] = (1,)
) -> PreTrainedTokenizerFast:
    """Train the mini tokenizer; the same corpus gives the same tokenizer.

    Args:
        corpus: texts of the kind the model will read and write.
        vocab_size: at most so many tokens: 256 bytes, the special tokens, and merges.
        max_seconds: every time tag from 0 up to this becomes one token, as far as `vocab_size` reaches.
        decimals: of those time tags; (1, 2) adds JumpScore's.

    Returns:
        a tokenizer that pads on the left, ends answers with `<|im_end|>`, and carries the published chat template.
    """
    # 1. Text is cut into time tags, openings and words, each written in bytes
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(f"{TIME}|{OPENING}|{PIECES}"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    # 2. Learn the merges; time tags and chat markers occur often enough to become tokens
    times = [time_tag(k / 10**d, d) for d in decimals for k in range(round(max_seconds * 10**d) + 1)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*corpus, *CHAT * 2, *times * 2], trainer)
    # 3. As transformers reads it
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=4096,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
