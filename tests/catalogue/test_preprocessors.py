"""Preprocessors: what they fit, what they do, and the state that they keep."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import IterableDataset

from torchassistant import preprocessors, tabular
from torchassistant.errors import DataError
from torchassistant.preprocessors import (
    Categories,
    ImageNormalizer,
    NullPreprocessor,
    NumberNormalizer,
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


@pytest.mark.parametrize("make", [NumberNormalizer, Categories])
@pytest.mark.parametrize("column", ["text", 1.0, True, None])
def test_a_column_that_may_be_negative_is_an_index_too(make, column):
    with pytest.raises(ValueError, match="column must be an index; found"):
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


# --- NumberNormalizer ---------------------------------------------------------------------------

numbers = st.floats(-1e6, 1e6)


def normalizer_of(values) -> NumberNormalizer:
    normalizer = NumberNormalizer()
    normalizer.fit([(value, "label") for value in values])
    return normalizer


@given(
    st.integers(1, 3).flatmap(
        lambda size: st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=1)
    ),
    st.integers(1, 4),
)
@quick
def test_each_element_has_its_mean_and_population_std(values, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tabular, "_VALUES_AT_ONCE", at_once)
        normalizer = normalizer_of(values)
    expected = np.array(values)
    assert normalizer.mean.dtype == normalizer.std.dtype == torch.float64
    np.testing.assert_allclose(normalizer.mean, expected.mean(0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(normalizer.std, expected.std(0), rtol=1e-6, atol=1e-8)


def test_a_small_spread_on_large_numbers_is_kept():
    # Seconds since 1970: in float32 they would all be one number.
    times = [1.7e9 + seconds for seconds in range(1000)]
    normalizer = normalizer_of(times)
    assert normalizer.std.item() == pytest.approx(np.std(np.arange(1000)), rel=1e-9)
    found = torch.stack([normalizer.process(time) for time in times])
    assert len(found.unique()) == 1000
    assert found.mean().item() == pytest.approx(0, abs=1e-6)
    assert found.std(correction=0).item() == pytest.approx(1, abs=1e-6)


@given(numbers, st.integers(1, 200))
@quick
def test_a_number_that_never_varies_is_only_shifted(value, count):
    normalizer = normalizer_of([[value, float(i)] for i in range(count)])
    assert normalizer.std[0].item() == 0
    assert normalizer.process([value, 0])[0].item() == pytest.approx(0, abs=1e-9)
    assert normalizer.process([value + 3, 0])[0].item() == pytest.approx(3, rel=1e-6)


@pytest.mark.parametrize(
    ("value", "forms"),
    [
        (5.0, [5, np.float32(5), np.int64(5), np.array(5), torch.tensor(5)]),
        (0.0, [False, np.bool(False), torch.tensor(False)]),
        ([1, 2.5], [(1, 2.5), np.array([1, 2.5], ">f8"), np.array([2.5, 1])[::-1]]),
        ([0, 2.5], [torch.tensor([0, 2.5]), torch.tensor([0, 2.5], requires_grad=True)]),
        ([[1, 2], [3, 0]], [np.array([[1, 3], [2, 0]]).T, torch.tensor([[1, 2], [3, 0]])]),
    ],
)
def test_all_forms_of_a_number_are_fitted_and_processed_alike(value, forms):
    # Of two numbers the greater is one standard deviation over the mean, the other one below.
    expected = (torch.tensor(value) - 1).sign()
    for fitted_on in (value, *forms):
        normalizer = normalizer_of([fitted_on, np.ones(expected.shape)])
        for form in (value, *forms):
            found = normalizer.process(form)
            assert (found.shape, found.dtype) == (expected.shape, torch.float32)
            assert not found.requires_grad
            assert torch.equal(found, expected)


def test_processing_leaves_the_numbers_alone():
    value = torch.tensor([1.0, 2.0], dtype=torch.float64)
    normalizer = normalizer_of([value, value + 1])
    normalizer.process(value)
    assert value.tolist() == [1, 2]


def test_nan_that_is_processed_stays_nan():
    assert normalizer_of([1, 2]).process(float("nan")).isnan()


@pytest.mark.parametrize(("column", "mean"), [(0, 1), (1, 11), (2, 101), (-1, 101), (-3, 1)])
def test_a_negative_column_counts_from_the_end(column, mean):
    normalizer = NumberNormalizer(column=column)
    normalizer.fit([(i, 10 + i, 100 + i) for i in range(3)])
    assert normalizer.mean.item() == mean


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ([], "NumberNormalizer cannot be fitted on a dataset without examples"),
        ([(1.0,), ()], "no column 0 to fit on: example 1 has 0"),
        ([1.0, float("nan")], "NaN or infinity: example 1"),
        ([(torch.tensor([1, -torch.inf]),)], "NaN or infinity: example 0"),
        ([([],)], "a value without numbers: example 0"),
        ([([1, 2],), ([1, 2],), ([1],)], r"shape: \(2,\) in the first, \(1,\) in example 2"),
        ([(1,), ([1],)], r"shape: \(\) in the first, \(1,\) in example 1"),
        (["3.5"], "found str"),
        ([None], "found NoneType"),
        ([([[1], [1, 2]],)], "cannot be an array"),
        ([1j], "complex"),
        ([torch.tensor(1j)], "complex"),
    ],
)
def test_what_holds_no_numbers_cannot_be_fitted(dataset, said):
    normalizer = normalizer_of([1, 3])
    with pytest.raises(DataError, match=said):
        normalizer.fit(dataset)
    assert normalizer.process(3).item() == 1


def test_processing_numbers_needs_fitting_and_the_same_shape():
    normalizer = NumberNormalizer()
    with pytest.raises(DataError, match=r'NumberNormalizer has no .*"fit" must name the dataset'):
        normalizer.process(1)
    normalizer.fit([([1, 2],)])
    for value, shape in ((1, r"\(\)"), ([1, 2, 3], r"\(3,\)"), ([[1, 2]], r"\(1, 2\)")):
        with pytest.raises(DataError, match=rf"values of shape \(2,\), found one of {shape}"):
            normalizer.process(value)
    with pytest.raises(DataError, match="found str"):
        normalizer.process("1")


@pytest.mark.parametrize("values", [[1, 5, 7], [[1, 2], [3, 2]]])
def test_what_was_learned_of_numbers_makes_a_round_trip(values):
    learned, fresh = normalizer_of(values), NumberNormalizer()
    state = learned.state_dict()
    assert state.keys() == {"mean", "std"}
    assert all(type(value) is torch.Tensor for value in state.values())
    fresh.load_state_dict(state)
    for value in values:
        assert torch.equal(fresh.process(value), learned.process(value))
    fresh.load_state_dict(NumberNormalizer().state_dict())
    assert fresh.state_dict() == {"mean": None, "std": None}
    with pytest.raises(DataError, match="state of NumberNormalizer lacks mean; found std"):
        fresh.load_state_dict({"std": 1.0})


# --- Categories ---------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]))


def categories_of(values, column: int = -1) -> Categories:
    categories = Categories(column)
    categories.fit([(0, value) for value in values])
    return categories


@given(st.one_of(st.lists(kind, min_size=1) for kind in (texts, st.integers(), st.booleans())))
@quick
def test_values_are_numbered_in_their_order(values):
    categories = categories_of(values)
    different = sorted(set(values))
    assert len(categories) == len(different)
    assert [categories.process(value) for value in different] == list(range(len(different)))
    for value in values:
        back = categories.decode(categories.process(value))
        assert (back, type(back)) == (value, type(value))


def test_numbers_of_categories_are_plain_integers():
    categories = categories_of(["b", "a", "b"])
    assert type(categories.process("b")) is int
    assert [categories.process(value) for value in "ab"] == [0, 1]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("a", np.str_("a")),
        (7, np.int32(7)),
        (7, np.array(7)),
        (7, torch.tensor(7)),
        (True, np.bool(True)),
        (True, torch.tensor(True)),
    ],
)
def test_scalars_of_numpy_and_torch_are_the_values_that_they_hold(value, form):
    for fitted_on, asked in ((value, form), (form, value), (form, form)):
        categories = categories_of([fitted_on])
        assert categories.process(asked) == 0
        assert type(categories.decode(0)) is type(value)


@pytest.mark.parametrize("index", [1, np.int64(1), torch.tensor(1), torch.tensor([1])])
def test_all_forms_of_a_number_are_decoded(index):
    assert categories_of("abc").decode(index) == "b"


@pytest.mark.parametrize("index", [-1, 3, 1.0, "a", None, torch.tensor(1.0), torch.tensor([0, 1])])
def test_what_is_the_number_of_no_value_is_refused(index):
    with pytest.raises(DataError, match="is not the number of a value: they run from 0 to 2"):
        categories_of("abc").decode(index)


@pytest.mark.parametrize(("column", "known"), [(0, 0), (-1, "x"), (1, "x"), (-2, 0)])
def test_the_column_of_categories_is_the_one_that_is_named(column, known):
    categories = categories_of("x", column)
    assert len(categories) == 1
    assert categories.decode(0) == known


def test_a_value_that_was_not_met_is_named_with_the_nearest():
    with pytest.raises(DataError, match=r'without the value "setose"; did you mean "setosa"\?'):
        categories_of(["setosa", "virginica"]).process("setose")
    with pytest.raises(DataError, match='without the value "7"; there are "1", "2"'):
        categories_of([2, 1]).process(7)


@pytest.mark.parametrize(("known", "other"), [("1", 1), (1, "1"), (1, True), (True, 1)])
def test_values_of_different_kinds_are_not_the_same(known, other):
    said = f"one kind: found {type(other).__name__} where others are {type(known).__name__}"
    with pytest.raises(DataError, match=said):
        categories_of([known]).process(other)
    with pytest.raises(DataError, match=said):
        categories_of([known, other])


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ([], "Categories cannot be fitted on a dataset without examples"),
        ([("a",), ()], "no column -1 to fit on: example 1 has 0"),
        ([1.5], "found float"),
        ([None], "found NoneType"),
        ([torch.tensor([1, 2])], "found Tensor"),
    ],
)
def test_what_holds_no_categories_cannot_be_fitted(dataset, said):
    categories = categories_of("ab")
    with pytest.raises(DataError, match=said):
        categories.fit(dataset)
    assert categories.__dict__ == categories_of("ab").__dict__


def test_a_second_fit_forgets_the_first():
    categories = categories_of("ab")
    categories.fit(["c"])
    assert (len(categories), categories.process("c")) == (1, 0)
    with pytest.raises(DataError, match='without the value "a"'):
        categories.process("a")


@pytest.mark.parametrize("use", [len, lambda c: c.process("a"), lambda c: c.decode(0)])
def test_categories_need_fitting(use):
    with pytest.raises(DataError, match='no values yet: its "fit" must name'):
        use(Categories())


@pytest.mark.parametrize("values", [["b", "a"], [3, 1], [True, False]])
def test_categories_make_a_round_trip_through_json(values):
    categories, fresh = categories_of(values), Categories()
    fresh.load_state_dict(json.loads(json.dumps(categories.state_dict())))
    assert fresh.__dict__ == categories.__dict__
    assert type(fresh.decode(0)) is type(values[0])


def test_the_kept_categories_are_not_the_live_ones():
    categories = categories_of("ab")
    categories.state_dict()["values"].clear()
    assert len(categories) == 2


def test_unfitted_categories_make_a_round_trip():
    categories = categories_of("ab")
    categories.load_state_dict(Categories().state_dict())
    assert categories.__dict__ == Categories().__dict__
    with pytest.raises(DataError, match="state of Categories lacks values; found words"):
        categories.load_state_dict({"words": []})


class _Counted(IterableDataset[torch.Tensor]):
    """A stream that has a length, and still cannot be asked for one example."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(torch.tensor([[1.0], [3.0]]))


def test_a_stream_with_a_length_is_fitted_on_as_a_stream() -> None:
    normalizer = NumberNormalizer()
    normalizer.fit(_Counted())
    assert normalizer.process(torch.tensor([2.0])).tolist() == [0.0]
