"""What an invariant must say of itself, enforced at collection."""

from __future__ import annotations

import pytest

SOUND = '''
@claim(1)
def test_it_holds():
    """Data is lost.

    Remedy: none.
    """
'''


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("@claim(1)", '@pytest.mark.invariant(severity="normal", source="own")'), "needs id="),
        (("@claim(1)", '@pytest.mark.invariant(id="TST-1", severity="normal", source="own")'), "'TST-1' is not of"),
        (("@claim(1)", '@claim(1, "awful")'), "'awful' is not one of trivial"),
        (("@claim(1)", '@claim(1, colour="red")'), "does not know 'colour'"),
        (("@claim(1)", '@pytest.mark.invariant("TST-01")'), "takes keywords only"),
        (("Remedy: none.", ""), "has no `Remedy: …`"),
        (("Data is lost.", ""), "does not say what it costs"),
        (('"""Data is lost.\n\n    Remedy: none.\n    """', "pass"), "no docstring"),
    ],
)
def test_an_invariant_that_says_too_little_is_a_usage_error(trial, change, complaint):
    trial.claims(SOUND.replace(*change))
    run = trial.judge()
    assert run.status == 4
    assert complaint in run.errors
    assert "Traceback" not in run.errors


def test_an_id_is_taken_once(trial):
    trial.claims(SOUND + SOUND.replace("it_holds", "it_holds_too"))
    run = trial.judge()
    assert run.status == 4
    assert "TST-01 is already taken by test_claims.py::test_it_holds" in run.errors


def test_rows_of_one_test_are_invariants_of_their_own(trial):
    mark = 'pytest.mark.invariant(id="TST-0{}", severity="normal", source="own")'
    rows = ", ".join(f'pytest.param("role-{n}", id="TST-0{n}", marks={mark.format(n)})' for n in (1, 2))
    parametrized = SOUND.replace("@claim(1)", f'@pytest.mark.parametrize("role", [{rows}])')
    trial.claims(parametrized.replace("it_holds()", "it_holds(role)") + "    assert role == 'role-1'\n")
    told = [(entry["id"], entry["title"], entry["outcome"]) for entry in trial.judge().verdict["invariants"]]
    assert sorted(told) == [("TST-01", "it holds: role-1", "holds"), ("TST-02", "it holds: role-2", "violated")]


def test_a_subsystem_is_named(trial):
    trial.claims(SOUND)
    path = trial.folder / "test_claims.py"
    path.write_text(path.read_text().replace("pytestmark = pytest.mark.ceph", ""))
    assert "no mark of a subsystem" in trial.judge().errors


def test_a_test_in_the_suites_without_a_mark_is_a_usage_error(trial):
    folder = trial.folder / "suites" / "conformance"
    folder.mkdir(parents=True)
    (folder / "test_x.py").write_text("def test_x():\n    pass\n")
    run = trial.judge()
    assert run.status == 4
    assert "no invariant mark" in run.errors


def test_stock_pytest_selects_by_severity(trial):
    trial.claims(SOUND + SOUND.replace("claim(1)", "claim(2, 'critical')").replace("it_holds", "it_is_critical"))
    run = trial.judge("-m", "invariant(severity='critical')")
    assert [entry["id"] for entry in run.verdict["invariants"]] == ["TST-02"]
