"""Many speakers of one question: nobody is waited for a thousand times."""

from __future__ import annotations

from multiprocessing.pool import ThreadPool

import pytest

from seatrial.fixtures.question import Answer
from seatrial.fixtures.speakers import TASTE, hear


@pytest.fixture
def pool():
    with ThreadPool(4) as threads:
        yield threads


def asked(pool, count, answers):
    heard = []

    def ask(number):
        heard.append(number)
        return Answer(speaker=str(number), error="" if answers(number) else "no answer within 15 s")

    said = hear(pool, ask, list(range(count)), lambda number, why: Answer(speaker=str(number), error=why))
    assert [answer.speaker for answer in said] == [str(number) for number in range(count)]
    return said, heard


def test_where_none_of_a_few_can_be_heard_the_others_are_not_asked_and_say_why(pool):
    said, heard = asked(pool, 1000, lambda _number: False)
    assert len(heard) == TASTE
    assert max(heard) > 900, "they are from all over the list"
    assert said[1].error == "not asked, since none of 12 others of 1000 could be heard: no answer within 15 s"


def test_where_one_of_the_few_can_be_heard_everybody_is_asked_once(pool):
    said, heard = asked(pool, 1000, lambda number: number in {0, 500, 999})
    assert sorted(heard) == list(range(1000))
    assert [answer.speaker for answer in said if not answer.error] == ["0", "500", "999"]


def test_a_rack_that_is_down_does_not_hide_the_others(pool):
    said, _ = asked(pool, 100, lambda number: number >= 40)
    assert sum(not answer.error for answer in said) == 60


def test_a_few_speakers_are_all_asked(pool):
    _, heard = asked(pool, 2 * TASTE, lambda _number: False)
    assert len(heard) == 2 * TASTE
