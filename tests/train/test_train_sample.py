"""The sample schema: what is read, what is refused, and that nothing else can happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2lib.errors import TrainingError
from ov2lib.samples.sample import Media, Sample, parse_sample

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
        assert str(error).startswith(f"{'row 1' if name in (None, '') else name}: ")


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


ANSWERED = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]


@pytest.mark.parametrize(
    ("given_as", "text"),
    [
        (0, "0"), (7, "7"), (-1.5, "-1.5"), (False, "False"), ("0", "0"), ([1], "[1]"), ("\ud800", "\\ud800"), (None, "row 1"),
        ("", "row 1"),
    ],
)  # fmt: skip
def test_an_id_of_any_type_survives(given_as, text):
    sample = parse_sample({"id": given_as, "messages": ANSWERED}, name="row 1")
    assert sample.id == text and parse_sample(sample.to_json()).id == text
    assert parse_sample({"messages": ANSWERED}, name="row 1").id == "row 1"


@pytest.mark.parametrize(
    ("item", "media"),
    [
        ({"type": "video", "video": "a.mp4"}, Media("video", "a.mp4")),
        ({"type": "image", "image": "a.png", "text": None}, Media("image", "a.png")),
        ({"type": "image", "path": "a.png"}, Media("image", "a.png")),
        ({"type": "image", "url": "a.png"}, Media("image", "a.png")),
        ({"type": "image_url", "image_url": {"url": "a.png", "detail": "high"}}, Media("image", "a.png")),
        ({"type": "video_url", "video_url": {"url": "a.mp4"}}, Media("video", "a.mp4")),
        ({"type": "video", "video": "a.mp4", "fps": 2.0}, Media("video", "a.mp4", {"fps": 2.0})),
    ],
)
def test_items_may_bring_their_media_along(item, media):
    messages = [{"role": "user", "content": [item, {"type": "text", "text": "What?"}]}, ANSWERED[1]]
    sample = parse_sample({"messages": messages})
    assert sample.media == (media,) and sample.messages[0] == ("user", f"<{media.kind}>What?")


@pytest.mark.parametrize(
    ("item", "beside", "message"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}, [], "its image is a URL; download it"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}, [], "its image is a URL; download it"),
        ({"type": "video", "video": ["a.png", "b.png"]}, [], r"the video in a message is \['a.png', 'b.png'\]; give its path"),
        ({"type": "video", "video": "a.mp4"}, [{"type": "video", "path": "a.mp4"}], "in the messages and beside them"),
        ({"type": "video"}, [{"type": "video", "path": "http://x.org/a.mp4"}], "its video is a URL; download it"),
    ],
)
def test_media_that_cannot_be_used_are_told_apart(item, beside, message):
    messages = [{"role": "user", "content": [item]}, ANSWERED[1]]
    with pytest.raises(TrainingError, match=message):
        parse_sample({"messages": messages, "media": beside}, name="s")


def test_half_a_character_is_told():
    with pytest.raises(TrainingError, match="half a character"):
        parse_sample({"messages": [ANSWERED[0], {"role": "assistant", "content": "so \ud83d"}]})


def test_null_is_no_conversation():
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    for row in ({"conversations": None, "messages": messages}, {"conversations": turns, "messages": None}):
        assert parse_sample(row).messages == (("user", "q"), ("assistant", "a"))
