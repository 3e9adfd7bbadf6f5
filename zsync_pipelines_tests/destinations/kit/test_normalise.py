"""Normal forms: what is the same to a vendor comes out the same, what is none is null, and nothing is changed twice."""

from __future__ import annotations

import phonenumbers
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsync_pipelines.destinations.kit.normalise import COUNTRY, EMAIL, GMAIL, phone


def one(normaliser, text):
    return normaliser.apply(pl.Series("x", [text], pl.String)).to_list()[0]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Ann@Example.ORG", "ann@example.org"),
        ("  ann@example.org\n", "ann@example.org"),
        ("ÉVA@Exämple.org", "éva@exämple.org"),
        ("a.b+c@gmail.com", "a.b+c@gmail.com"),
        ("ann", None),
        ("ann@", None),
        ("@example.org", None),
        ("ann@example", None),
        ("ann smith@example.org", None),
        ("ann@exam ple.org", None),
        ("ann@@example.org", None),
        ("ann@.example.org", None),
        ("ann@example..org", None),
        ("", None),
        (None, None),
    ],
)
def test_email(text, normal):
    assert one(EMAIL, text) == normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("A.n.n+news@Gmail.com", "ann@gmail.com"),
        ("a.n.n@googlemail.com", "ann@googlemail.com"),
        ("a.n.n+x@example.org", "a.n.n+x@example.org"),
        ("ann@notgmail.com", "ann@notgmail.com"),
        ("ann@gmail.com.example.org", "ann@gmail.com.example.org"),
        ("+x@gmail.com", "+x@gmail.com"),
        ("ann", None),
        (None, None),
    ],
)
def test_gmail(text, normal):
    assert one(GMAIL, text) == normal


@pytest.mark.parametrize(
    ("text", "country", "normal"),
    [
        ("+16502530000", None, "+16502530000"),
        ("+1 (650) 253-0000", None, "+16502530000"),
        ("001 650 253 0000", None, "+16502530000"),
        ("650-253-0000", "US", "+16502530000"),
        ("650-253-0000", None, None),
        ("+44 (0)20 7946 0018", None, "+442079460018"),
        ("+4402079460018", None, "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("+39 06 1234567", None, "+39061234567"),
        ("+1 123", None, None),
        ("+999 12345678", None, None),
        ("+49 30 1234 5678 901234567890", None, None),
        ("call me", "US", None),
        ("", "US", None),
        (None, "US", None),
    ],
)
def test_phone(text, country, normal):
    assert one(phone(country), text) == normal
    assert one(phone(country, plus=False), text) == (normal and normal[1:])


def test_phone_says_what_it_wants():
    assert "with a country code" in phone().what
    assert "of DE" in phone("DE").what


@pytest.mark.parametrize(("text", "normal"), [("US", "us"), (" de ", "de"), ("USA", None), ("1A", None), (None, None)])
def test_country(text, normal):
    assert one(COUNTRY, text) == normal


NUMBERS = [
    phonenumbers.format_number(phonenumbers.example_number_for_type(region, kind), phonenumbers.PhoneNumberFormat.E164)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    if phonenumbers.example_number_for_type(region, kind) is not None
]


def test_numbers_of_every_country_stay_as_they_are_and_lose_their_punctuation():
    plain = pl.Series("x", NUMBERS, pl.String)
    assert phone().apply(plain).to_list() == NUMBERS
    written = [
        phonenumbers.format_number(phonenumbers.parse(text), phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        for text in NUMBERS
    ]
    assert phone().apply(pl.Series("x", written, pl.String)).to_list() == NUMBERS


texts = st.lists(st.none() | st.text(max_size=30) | st.emails() | st.sampled_from(NUMBERS), max_size=12)


@given(texts)
@pytest.mark.parametrize("normaliser", [EMAIL, GMAIL, COUNTRY, phone(), phone("DE"), phone("US", plus=False)])
def test_one_result_for_each_text_and_none_changes_again(normaliser, values):
    found = normaliser.apply(pl.Series("x", values, pl.String))
    assert len(found) == len(values)
    assert found.name == "x"
    again = normaliser.apply(found).to_list() if "US" not in normaliser.what else found.to_list()
    assert again == found.to_list()
    assert [one(normaliser, value) for value in values] == found.to_list()
