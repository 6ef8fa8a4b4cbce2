"""Who may enter: what is asked for, who comes, and what the rule says, as one table."""

import pytest

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.access import Restricted, Rule
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.principal import ANYBODY, Principal
from hubfarm.spec.states import Access

LUIGI = Principal(user="luigi", groups=("mima", "oact"))
ANNA = Principal(user="anna", groups=("vandels",))
CHIEF = Principal(user="chief", admin=True)
EVERYBODY = {"nobody": ANYBODY, "luigi": LUIGI, "anna": ANNA, "chief": CHIEF}

TABLE = [
    (Rule(), {"nobody", "luigi", "anna", "chief"}),
    (Rule(access=Access.USERS), {"luigi", "anna", "chief"}),
    (Rule(access=Access.GROUP, group="mima"), {"luigi", "chief"}),
    (Rule(access=Access.GROUP, group="mima", allow=("user:anna",)), {"luigi", "anna", "chief"}),
    (Rule(access=Access.OWNER, owner="anna"), {"anna", "chief"}),
    (Rule(access=Access.OWNER, owner="anna", allow=("group:oact",)), {"luigi", "anna", "chief"}),
    (Rule(access=Access.OWNER, owner="mima", group="mima"), {"chief"}),
    (Rule(access=Access.LISTED, allow=("user:anna",)), {"anna", "chief"}),
    (Rule(access=Access.LISTED, allow=("group:anna", "user:mima")), {"chief"}),
]


@pytest.mark.parametrize(("rule", "let_in"), TABLE, ids=[f"{rule.access}-{'-'.join(rule.allow)}" for rule, _ in TABLE])
def test_rule_lets_in_those_and_no_others(rule: Rule, let_in: set[str]) -> None:
    assert {name for name, who in EVERYBODY.items() if rule.admits(who)} == let_in
    policy = Restricted(rule, "mima-1")
    assert {name for name, who in EVERYBODY.items() if not policy.refusal_to_enter(who)} == let_in


def test_refusal_tells_a_stranger_how_to_enter_and_a_user_why_not() -> None:
    policy = Restricted(Rule(access=Access.GROUP, group="mima", allow=("user:paul",)), "mima-1")
    assert policy.refusal_to_enter(ANYBODY) == (
        "this hub is for the group mima, user:paul: start the program by hubfarm exec --user NAME mima-1 -- PROGRAM, "
        "or log in by hubfarm login mima-1 --user NAME"
    )
    assert "the user anna is none of them" in policy.refusal_to_enter(ANNA)


@pytest.mark.parametrize(
    ("asked_for", "what_to_do"),
    [
        ({"access": Access.GROUP}, "name it by --group"),
        ({"access": Access.OWNER, "group": "mima"}, "name one by --owner"),
        ({"access": Access.LISTED}, "--allow user:luigi"),
        ({"allow": ("user:luigi",)}, "--access listed"),
        ({"access": Access.USERS, "allow": ("luigi",)}, "user:NAME"),
        ({"access": Access.USERS, "allow": ("clan:x",)}, "user:NAME"),
        ({"access": Access.USERS, "allow": ("user:",)}, "1 to 100 printable characters"),
    ],
)
def test_what_would_let_in_nobody_or_is_not_meant_is_refused(asked_for: dict[str, object], what_to_do: str) -> None:
    with pytest.raises(WrongUse, match=what_to_do):
        HubSpec(id=1, **asked_for)  # type: ignore[arg-type]


def test_names_with_blanks_survive_the_lock_file() -> None:
    spec = HubSpec(id=1, secret="s", access=Access.LISTED, allow=("user:Luigi Paioro", "group:50% mima"))
    tokens = {"samp.secret": "s"} | spec.tokens()
    assert " " not in tokens["hubfarm.allow"].partition(" ")[0]
    assert HubSpec.from_tokens(tokens) == spec


@pytest.mark.parametrize("rule", [rule for rule, _ in TABLE], ids=str)
@pytest.mark.parametrize("other", [rule for rule, _ in TABLE], ids=str)
def test_rule_that_is_within_another_lets_in_nobody_beside(rule: Rule, other: Rule) -> None:
    if rule.is_within(other):
        assert all(other.admits(who) for who in EVERYBODY.values() if rule.admits(who))


def test_rule_is_within_itself_and_all_are_within_the_open_one() -> None:
    for rule, _ in TABLE:
        assert rule.is_within(rule)
        assert rule.is_within(Rule())
        assert Rule().is_within(rule) == (rule.access is Access.OPEN)
