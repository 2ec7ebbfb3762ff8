"""Preprocessors: what they fit, what they do, and the state that they keep."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchassistant import preprocessors
from torchassistant.errors import DataError
from torchassistant.preprocessors import (
    ImageNormalizer,
    NullPreprocessor,
    NullProcessor,
    TextTokenizer,
    image_to_tensor,
)

quick = settings(deadline=None, max_examples=60)


class NoIndexError:
    """A dataset that has a length, but answers any index."""

    def __init__(self, example, length):
        self.example = example
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.example


def test_null_gives_the_value_itself():
    value = object()
    assert NullPreprocessor().process(value) is value
    assert NullProcessor is NullPreprocessor


# --- ImageNormalizer ----------------------------------------------------------------------------


def colour_images(count: int = 7) -> list[tuple[torch.Tensor, int]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(3, 4 + i, 5, generator=generator), i) for i in range(count)]


@pytest.mark.parametrize("pixels_at_once", [1, 50, 1 << 20])
def test_mean_and_std_are_those_of_all_pixels(monkeypatch, pixels_at_once):
    monkeypatch.setattr(preprocessors, "_PIXELS_AT_ONCE", pixels_at_once)
    dataset = colour_images()
    normalizer = ImageNormalizer()
    normalizer.fit(dataset)
    pixels = torch.cat([image.flatten(1) for image, _ in dataset], dim=1).double()
    assert normalizer.mean.dtype == normalizer.std.dtype == torch.float64
    torch.testing.assert_close(normalizer.mean, pixels.mean(1), rtol=1e-14, atol=0)
    torch.testing.assert_close(normalizer.std, pixels.std(1, correction=0), rtol=1e-14, atol=0)


def test_a_small_variance_on_a_large_mean_is_kept(monkeypatch):
    monkeypatch.setattr(preprocessors, "_PIXELS_AT_ONCE", 1)
    images = [torch.full((1, 1, 2), 1e6) + torch.tensor([0.0, 0.125]) * i for i in range(4)]
    normalizer = ImageNormalizer()
    normalizer.fit(images)
    expected = torch.cat(images).double().std(correction=0)
    torch.testing.assert_close(normalizer.std[0], expected, rtol=1e-10, atol=0)


def test_the_fitted_data_come_out_with_mean_0_and_std_1():
    dataset = colour_images()
    normalizer = ImageNormalizer()
    normalizer.fit(dataset)
    pixels = torch.cat([normalizer.process(image).flatten(1) for image, _ in dataset], dim=1)
    torch.testing.assert_close(pixels.mean(1), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(pixels.std(1, correction=0), torch.ones(3), atol=1e-6, rtol=0)


def test_processing_equals_torchvisions_normalize():
    from torchvision.transforms.functional import normalize

    dataset = colour_images()
    normalizer = ImageNormalizer()
    normalizer.fit(dataset)
    expected = normalize(dataset[0][0], normalizer.mean.tolist(), normalizer.std.tolist())
    assert torch.equal(normalizer.process(dataset[0][0]), expected)


def test_processing_leaves_the_image_alone():
    image = torch.rand(1, 2, 2)
    before = image.clone()
    normalizer = ImageNormalizer()
    normalizer.fit([image])
    normalizer.process(image)
    assert torch.equal(image, before)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_channel_that_never_varies_is_only_shifted(value):
    # A variance from rounding, however small, would blow the channel up.
    normalizer = ImageNormalizer()
    normalizer.fit([np.full((13, 17), value, dtype=np.uint8)] * 3)
    assert normalizer.std.tolist() == [0]
    assert normalizer.process(np.full((2, 2), value, np.uint8)).abs().max() < 1e-6
    other = normalizer.process(np.full((1, 1), 255 - value, np.uint8))
    assert other.item() == pytest.approx((255 - 2 * value) / 255, abs=1e-6)


@given(st.floats(-1e6, 1e6, width=32), st.lists(st.integers(1, 200), min_size=1, max_size=5))
@quick
def test_rounding_leaves_no_variance(value, widths):
    normalizer = ImageNormalizer()
    normalizer.fit([torch.full((1, width, 7), value) for width in widths])
    assert normalizer.std.item() == 0


def test_all_forms_of_an_image_are_processed_alike():
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    normalizer = ImageNormalizer()
    normalizer.fit([array])
    expected = normalizer.process(array)
    assert (expected.shape, expected.dtype) == ((3, 4, 5), torch.float32)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    for form in (Image.fromarray(array), tensor, tensor.float() / 255):
        assert torch.equal(normalizer.process(form), expected)


def test_grey_images_have_one_channel():
    grey = np.zeros((4, 5), np.uint8)
    for form in (grey, Image.fromarray(grey), torch.zeros(4, 5)):
        assert image_to_tensor(form).shape == (1, 4, 5)


def test_the_column_is_the_one_that_is_named():
    images = [(i, torch.tensor([[float(i)]])) for i in range(3)]
    normalizer = ImageNormalizer(column=1)
    normalizer.fit(images)
    assert normalizer.mean.item() == 1


def test_fitting_takes_datasets_without_an_end_and_iterables():
    normalizer = ImageNormalizer()
    normalizer.fit(NoIndexError(torch.ones(1, 1), 2))
    assert normalizer.mean.item() == 1
    normalizer.fit(iter([torch.zeros(1, 1)]))
    assert normalizer.mean.item() == 0


def test_the_state_makes_a_round_trip():
    fitted, fresh = ImageNormalizer(), ImageNormalizer()
    fitted.fit(colour_images())
    fresh.load_state_dict(fitted.state_dict())
    image = torch.rand(3, 2, 2)
    assert torch.equal(fresh.process(image), fitted.process(image))
    assert fitted.__dict__.keys() == fresh.__dict__.keys()
    for name, value in fitted.__dict__.items():
        other = getattr(fresh, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
    assert all(type(value) is torch.Tensor for value in fitted.state_dict().values())


def test_the_state_before_fitting_makes_a_round_trip():
    normalizer = ImageNormalizer()
    normalizer.fit(colour_images())
    normalizer.load_state_dict(ImageNormalizer().state_dict())
    assert normalizer.state_dict() == {"mean": None, "std": None}


def test_a_state_that_lacks_something_is_refused():
    with pytest.raises(DataError, match="state of ImageNormalizer lacks std; found mean"):
        ImageNormalizer().load_state_dict({"mean": [0.0]})


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ([], "without examples"),
        ([torch.zeros(1, 0, 4)], "without pixels"),
        ([(torch.zeros(1, 2, 2),), ()], "no column 0 to fit on: example 1 has 0"),
        ([torch.zeros(1, 2, 2), torch.zeros(3, 2, 2)], "1 in the first, 3 in example 1"),
        (["text"], "expected an image"),
    ],
)
def test_what_cannot_be_fitted_is_refused(dataset, said):
    with pytest.raises(DataError, match=said):
        ImageNormalizer().fit(dataset)


def test_processing_needs_fitting_and_the_same_channels():
    normalizer = ImageNormalizer()
    with pytest.raises(DataError, match='"fit" must name the dataset'):
        normalizer.process(torch.zeros(1, 2, 2))
    normalizer.fit([torch.rand(3, 2, 2)])
    with pytest.raises(DataError, match="with 3 channels, found one with 1"):
        normalizer.process(torch.zeros(1, 2, 2))


@pytest.mark.parametrize("make", [ImageNormalizer, TextTokenizer])
@pytest.mark.parametrize("column", [-1, "text", 1.0, True])
def test_a_column_is_an_index(make, column):
    with pytest.raises(ValueError, match="column must be an index"):
        make(column=column)


# --- TextTokenizer ------------------------------------------------------------------------------

TEXTS = ["le chat dort", "le chien dort", "le quatre-vingt-dix chat"]


def fitted(**arguments) -> TextTokenizer:
    tokenizer = TextTokenizer(**arguments)
    tokenizer.fit([(text, 0) for text in TEXTS])
    return tokenizer


def test_words_are_numbered_by_frequency_then_alphabet():
    assert fitted().words == [
        "<pad>", "<s>", "</s>", "<unk>", "le", "chat", "dort", "chien", "quatre-vingt-dix",
    ]  # fmt: skip


def test_the_special_numbers_are_fixed():
    tokenizer = fitted()
    ids = (tokenizer.padding_id, tokenizer.start_id, tokenizer.end_id, tokenizer.unknown_id)
    assert ids == (0, 1, 2, 3)
    assert len(tokenizer) == 9


def test_a_text_becomes_numbers_between_start_and_end():
    assert fitted().process("le  chat\tvole quatre-vingt-dix\n") == [1, 4, 5, 3, 8, 2]
    assert fitted().process("") == [1, 2]


def test_numbers_become_a_text_up_to_the_end():
    tokenizer = fitted()
    assert tokenizer.decode([1, 4, 5, 3, 0, 8, 2, 4, 4]) == "le chat <unk> quatre-vingt-dix"
    assert tokenizer.decode(torch.tensor([1, 4, 5])) == "le chat"
    assert tokenizer.decode(np.array([4, 2])) == "le"
    assert tokenizer.decode([]) == ""


def test_numbers_behind_the_end_do_not_matter():
    assert fitted().decode([4, 2, 999]) == "le"


@pytest.mark.parametrize("number", [9, -1])
def test_numbers_outside_the_vocabulary_are_refused(number):
    with pytest.raises(DataError, match=f"{number} is not the number of a word: .* 0 to 8"):
        fitted().decode([number])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1), st.text())
@quick
def test_the_fitted_texts_survive_a_round_trip(texts, other):
    tokenizer = TextTokenizer()
    tokenizer.fit(texts)
    for text in texts:
        ids = tokenizer.process(text)
        assert len(ids) == len(text.split()) + 2
        assert all(0 <= number < len(tokenizer) for number in ids)
        if not set(text.split()) & set(tokenizer.specials):
            assert tokenizer.decode(ids) == " ".join(text.split())
    assert 0 not in tokenizer.process(other)
    assert len(set(tokenizer.words)) == len(tokenizer)


@given(st.permutations(TEXTS))
@quick
def test_the_vocabulary_does_not_depend_on_the_order(texts):
    tokenizer = TextTokenizer()
    tokenizer.fit(texts)
    assert tokenizer.words == fitted().words


def test_special_words_in_a_text_have_no_power():
    tokenizer = TextTokenizer()
    tokenizer.fit(["a </s> <pad> b"])
    assert tokenizer.words[4:] == ["a", "b"]
    assert tokenizer.process("a </s> <s> b") == [1, 4, 3, 3, 5, 2]


def test_special_words_can_be_chosen():
    tokenizer = fitted(start="[", end="]", unknown="?", padding="_")
    assert tokenizer.words[:4] == ["_", "[", "]", "?"]
    assert tokenizer.decode(tokenizer.process("rien le")) == "? le"


def test_lower_case():
    tokenizer = TextTokenizer(lowercase=True)
    tokenizer.fit(["Le le LE"])
    assert tokenizer.words[4:] == ["le"]
    assert tokenizer.process("lE") == [1, 4, 2]
    assert fitted().process("Le") == [1, 3, 2]


def test_the_most_frequent_words_are_kept():
    assert fitted(max_words=2).words[4:] == ["le", "chat"]


def test_the_column_of_texts_is_the_one_that_is_named():
    tokenizer = TextTokenizer(column=1)
    tokenizer.fit([(0, "a"), [0, "b"]])
    assert tokenizer.words[4:] == ["a", "b"]


def test_the_vocabulary_makes_a_round_trip_through_json():
    tokenizer, fresh = fitted(), TextTokenizer()
    fresh.load_state_dict(json.loads(json.dumps(tokenizer.state_dict())))
    assert fresh.__dict__ == tokenizer.__dict__


def test_the_kept_state_is_not_the_live_one():
    tokenizer = fitted()
    tokenizer.state_dict()["words"].clear()
    assert len(tokenizer) == 9


def test_the_unfitted_state_makes_a_round_trip():
    tokenizer = fitted()
    tokenizer.load_state_dict(TextTokenizer().state_dict())
    assert tokenizer.__dict__ == TextTokenizer().__dict__


@pytest.mark.parametrize(
    "use", [len, lambda t: t.words, lambda t: t.process("a"), lambda t: t.decode([1])]
)
def test_a_tokenizer_needs_fitting(use):
    with pytest.raises(DataError, match="no vocabulary yet"):
        use(TextTokenizer())


@pytest.mark.parametrize(
    ("dataset", "said"),
    [([], "without examples"), ([1], "needs a text, found int"), ([("a",), ()], "example 1 has 0")],
)
def test_what_holds_no_texts_cannot_be_fitted(dataset, said):
    with pytest.raises(DataError, match=said):
        TextTokenizer().fit(dataset)


def test_a_failed_fit_leaves_the_vocabulary():
    tokenizer = fitted()
    with pytest.raises(DataError):
        tokenizer.fit(["new words", 1])
    assert tokenizer.words == fitted().words


@pytest.mark.parametrize("arguments", [{"start": "x", "end": "x"}, {"max_words": 0}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="must be"):
        TextTokenizer(**arguments)
