import pytest

from dagma.stack.drain import Run, _duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.9, "59 s"), (185, "3 min 5 s"), (7621, "2 h 7 min")],
)
def test_a_duration_is_written_as_a_user_reads_it(seconds, text):
    assert _duration(seconds) == text


def test_a_run_is_named_by_the_beginning_of_its_id_and_its_job():
    assert str(Run("0123456789", "nightly", 0.0)) == "run 01234567 of nightly"
    assert str(Run("0123456789", "__ASSET_JOB_0", 0.0)) == "run 01234567 of assets"
