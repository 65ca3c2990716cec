"""Rows with one exact form: JSON of what a message says, and dates as year-month-day."""

from __future__ import annotations

import datetime
import json
import random

from made import CITIES, COLOURS, NAMES, THINGS, Made, Stock, some

from limbeck.types import Kind

MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def fields(rng: random.Random, stock: Stock) -> Made:
    """A message of one to three parts, each of which fills one key; the keys are in the order of the message."""
    name, city, thing, colour = rng.choice(NAMES), rng.choice(CITIES), rng.choice(THINGS), rng.choice(COLOURS)
    number, hour = str(rng.randrange(2, 30)), some(rng, "{} pm", "{} am", "{}:30", "{} o'clock").format(rng.randrange(1, 12))
    day = some(rng, rng.choice(DAYS), f"{rng.choice(MONTHS)} {rng.randrange(1, 29)}", "tomorrow", "tonight")
    people = some(rng, f"{number} people", number, f"{number} adults")
    mail = f"{name.lower()}{rng.randrange(100)}@{rng.choice(CITIES).lower()}.example"
    parts = [
        (some(rng, f"we are {people}", f"a table for {people}", f"there will be {people}"), "people", people),
        (some(rng, f"on {day}", f"for {day}", f"is {day} free"), "date", day),
        (some(rng, f"at {hour}", f"around {hour}", f"we come at {hour}"), "time", hour),
        (some(rng, f"my name is {name}", f"this is {name}", f"under the name {name}"), "name", name),
        (some(rng, f"from {city}", f"I am in {city}", f"send it to {city}"), "city", city),
        (some(rng, f"I want {number} {thing}", f"please send {number} {thing}"), "item", thing),
        (some(rng, f"in {colour}", f"the {colour} one", f"the colour is {colour}"), "colour", colour),
        (some(rng, f"write to {mail}", f"my address is {mail}"), "email", mail),
    ]
    chosen = rng.sample(parts, rng.choice((1, 2, 2, 3)))
    text = some(rng, ", ", " ", ". ").join(p[0] for p in chosen)
    text = text[0].upper() + text[1:] + some(rng, ".", "", "?", " please.")
    keys = rng.sample([p[1] for p in parts], 4) if rng.random() < 0.3 else [p[1] for p in chosen]
    schema = {"type": "object", "properties": {k: {"type": "string"} for k in dict.fromkeys([*(p[1] for p in chosen), *keys])}}
    answer = json.dumps({key: value for _, key, value in chosen})
    return Made(
        some(rng, "Write the facts of the message as JSON.", "Fill the fields."), text, answer, Kind.FIELDS, schema=json.dumps(schema)
    )


def normal_date(rng: random.Random, stock: Stock) -> Made:
    """A date in words, or so many days from a given one -> 1987-05-03."""
    date = datetime.date(rng.randrange(1900, 2040), rng.randrange(1, 13), rng.randrange(1, 29))
    month, n = MONTHS[date.month - 1], date.day
    ending = "th" if 10 < n < 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    said = some(
        rng, f"{month} {n}, {date.year}", f"{n} {month} {date.year}", f"the {n}{ending} of {month} {date.year}", f"{month[:3]} {n} {date.year}",
        f"{n:02d}/{date.month:02d}/{date.year}", f"{n}{ending} {month[:3]} {date.year}",
    )  # fmt: skip
    if rng.random() < 0.6:
        return Made(
            "Write the date as year-month-day.",
            some(rng, "{}", "It was on {}.", "They met on {}.", "due {}").format(said),
            date.isoformat(),
        )
    away = rng.randrange(1, 8)
    word, sign = rng.choice([("after", 1), ("before", -1)])
    phrase, when = rng.choice(
        [
            (f"{away} days {word}", date + sign * datetime.timedelta(away)),
            ("the day after", date + datetime.timedelta(1)),
            ("a week before", date - datetime.timedelta(7)),
        ]
    )
    return Made("Write the date as year-month-day.", f"{phrase} {date.isoformat()}", when.isoformat())
