"""The sample schema: what is read, what is refused, and that nothing else can happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import TrainingError
from ov2lib.train.sample import Media, Sample, parse_sample

VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["user", "video", "<image>", "text"])
ITEMS = st.dictionaries(st.sampled_from(["role", "content", "from", "value", "type", "text", "path", "options"]), VALUES)
SHAPES = VALUES | ITEMS | st.lists(VALUES | ITEMS, max_size=3)
COLUMNS = ["id", "task", "messages", "media", "truth", "conversations", "image", "images", "video", "videos"]


def test_the_schema_round_trips():
    row = {
        "id": "clip-7/0",
        "task": "jump_times",
        "messages": [
            {"role": "system", "content": "Answer briefly."},
            {"role": "user", "content": "<video>\nWhen does the figure jump?"},
            {"role": "assistant", "content": "1.2, 2.4"},
        ],
        "media": [{"type": "video", "path": "clips/7.mp4", "options": {"video_backend": "codec", "num_canvases": 8}}],
        "truth": {"times": [1.2, 2.4]},
    }
    assert parse_sample(row).to_json() == row


def test_content_may_be_a_list_of_items(tmp_path):
    items = [{"type": "image"}, {"type": "text", "text": "\nand "}, {"type": "video"}]
    messages = [{"role": "user", "content": items}, {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}]
    media = [{"type": "image", "path": "a.png"}, {"type": "video", "path": "b.mp4"}]
    sample = parse_sample({"messages": messages, "media": media}, tmp_path, "row 3")
    assert sample.id == "row 3" and sample.messages == (("user", "<image>\nand <video>"), ("assistant", "yes"))
    assert sample.media == (Media("image", str(tmp_path / "a.png")), Media("video", str(tmp_path / "b.mp4")))


@pytest.mark.parametrize("column", ["video", "videos"])
@pytest.mark.parametrize("placeholder", ["<video>", "<image>"])  # LLaVA-Video-178K writes <image>
def test_llava_conversations_with_a_video(column, placeholder):
    turns = [{"from": "human", "value": f"{placeholder}\nWhat?"}, {"from": "gpt", "value": "This."}]
    sample = parse_sample({"id": 4, "conversations": turns, column: "clip.mp4"})
    assert sample == Sample("4", (("user", "<video>\nWhat?"), ("assistant", "This.")), (Media("video", "clip.mp4"),))


def test_llava_conversations_with_images():
    turns = [{"from": "human", "value": "<image><image>"}, {"from": "gpt", "value": "Two."}]
    assert [item.path for item in parse_sample({"conversations": turns, "image": ["a.png", "b.png"]}).media] == [
        "a.png",
        "b.png",
    ]


@given(st.dictionaries(st.sampled_from(COLUMNS), SHAPES) | SHAPES)
def test_any_json_is_a_sample_or_an_error_that_names_it(row):
    try:
        assert parse_sample(row, name="row 1").rounds
    except TrainingError as error:
        name = row.get("id") if isinstance(row, dict) else None
        assert str(error).startswith(f"{name or 'row 1'}: ")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], r"s: a row is \[\]; give an object"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "no assistant turn at the end"),
        ({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": " "}]}, "no assistant turn"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "users and assistants take turns"),
        ({"messages": [{"role": "user"}, {"role": "assistant", "content": "hi"}]}, "a message has no text"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "its type is 'text', 'image' or 'video'"),
        ({"conversations": [], "image": 7}, "its image is 7"),
        ({"media": [{"type": "video"}]}, "give its type, 'image' or 'video', and its path"),
    ],
)
def test_what_is_wrong_is_said(row, message):
    with pytest.raises(TrainingError, match=message):
        parse_sample(row, name="s")


def test_more_places_than_media():
    turns = [{"role": "user", "content": "<video><video>"}, {"role": "assistant", "content": "?"}]
    with pytest.raises(TrainingError, match="give one item per place"):
        parse_sample({"messages": turns, "media": [{"type": "video", "path": "a.mp4"}]})


def test_whole_rounds_are_kept_with_their_media():
    turns = (("system", "s"), ("user", "<image>1"), ("assistant", "a"), ("user", "<video>2"), ("assistant", "b"))
    sample = Sample("x", turns, (Media("image", "a.png"), Media("video", "b.mp4")))
    assert sample.rounds == 2 and sample.keep_rounds(2) == sample
    assert sample.keep_rounds(1) == Sample("x", turns[:3], (Media("image", "a.png"),))
