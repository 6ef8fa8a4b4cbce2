"""Who checks passwords: the users file, PAM with a real account, or another package; as the settings say."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.access.authenticators import Identity, authenticator, identify
from hubfarm.client.errors import SAMPProxyError
from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import AccessSettings
from hubfarm.samp.errors import HubfarmError, WrongUse
from tests.accounts import B, making_accounts
from tests.conftest import RunCli
from tests.support import need_module

ACCOUNT, PASSWORD = B, "of the account: 1"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file, for every process of the test."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv("HUBFARM_CONFIG", str(path))
    return path


@pytest.fixture
def account() -> Iterator[str]:
    """An account of this host with a password."""
    with making_accounts():
        subprocess.run(["useradd", "--no-create-home", "--groups", "users", ACCOUNT], check=True)
        subprocess.run(["chpasswd"], input=f"{ACCOUNT}:{PASSWORD}\n", text=True, check=True)
        yield ACCOUNT


def test_pam_knows_an_accounts_password_and_its_groups(account: str, paths: Paths) -> None:
    need_module("pam")
    pam = authenticator(paths, AccessSettings(authenticator="pam", admins=("somebody", account)))
    assert pam.authenticate(account, PASSWORD) == Identity(user=account, groups=(account, "users"), admin=True)
    for user, password in ((account, "wrong"), (account, f"{PASSWORD}\0"), ("hubfarm-t-nobody", PASSWORD)):
        assert pam.authenticate(user, password) is None


@pytest.fixture
def service() -> Iterator[Callable[[str], str]]:
    """Write a PAM service of this test's, and return its name: ``service("pam_permit.so")``."""
    path = Path("/etc/pam.d/hubfarm-t")

    def write(module: str) -> str:
        path.write_text(f"auth required {module}\naccount required pam_permit.so\n")
        return path.name

    yield write
    path.unlink(missing_ok=True)


def test_who_it_is_says_the_name_that_pam_gives_back(
    account: str, paths: Paths, service: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_module("pam")
    settings = AccessSettings(authenticator="pam", pam_service=service("pam_permit.so"), admins=(account, "paul"))
    pam = authenticator(paths, settings)
    for name in (account, f"{account} ", account.upper(), f" {account.title()}"):
        assert pam.authenticate(name, "x") == Identity(user=account, groups=(account, "users"), admin=True)
    for name in ("paul", "Paul ", "ＰＡＵＬ"):
        assert pam.authenticate(name, "x") == Identity(user="paul", admin=True)
    for nobody in ("a:b", "x" * 101, "a\nb", " "):
        with pytest.raises(HubfarmError, match="PAM says that it is"):
            pam.authenticate(nobody, "x")
    assert pam.authenticate("", "x") is None
    monkeypatch.setattr("hubfarm.access.pam._name_given_back", lambda asked: account)  # as a module may have it
    assert pam.authenticate("luigi@site", "x") == Identity(user=account, groups=(account, "users"), admin=True)


def test_pam_that_cannot_tell_is_an_error_and_no_wrong_password(
    account: str, paths: Paths, service: Callable[[str], str]
) -> None:
    need_module("pam")
    for module in ("pam_none-of-this-host.so", "pam_debug.so auth=authinfo_unavail"):
        pam = authenticator(paths, AccessSettings(authenticator="pam", pam_service=service(module)))
        with pytest.raises(HubfarmError, match="PAM's service hubfarm-t cannot tell"):
            pam.authenticate(account, PASSWORD)


def test_hub_of_a_site_with_pam_lets_in_an_account_by_its_group(account: str, farm: Farm, settings: Path) -> None:
    need_module("pam")
    settings.write_text('[access]\nauthenticator = "pam"\n')
    farm.start(label="h", access="listed", allow=["group:users"])
    with SAMPIntegratedClient() as client:
        client.connect(label="h", user=account, password=PASSWORD)
        assert client.get_metadata(client.get_public_id())["hubfarm.groups"] == [account, "users"]
    with pytest.raises(SAMPProxyError, match="is wrong"):
        SAMPIntegratedClient().connect(label="h", user=account, password="wrong")
    with SAMPIntegratedClient() as client:
        client.connect(ticket=farm.log_in("h", user=account, password=PASSWORD).lock_file)


PLUGIN = '''
"""A site's own authenticator: everybody's password is the site's word."""
from hubfarm.access.authenticators import Identity

class Site:
    def __init__(self, word): self.word = word
    def authenticate(self, user, password):
        return Identity(user=user, groups=("site",)) if password == self.word else None

def by_site(settings, paths):
    return Site(settings.options["word"])
'''


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package, as pip would have installed it."""
    (tmp_path / "hubfarm_site.py").write_text(PLUGIN)
    metadata = tmp_path / "hubfarm_site-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hubfarm-site\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[hubfarm.authenticators]\nsite = hubfarm_site:by_site\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("other_package")
def test_another_package_brings_an_authenticator_by_entry_point(farm: Farm, settings: Path, cli: RunCli) -> None:
    settings.write_text('[access]\nauthenticator = "site"\noptions = { word = "sesame" }\n')
    assert cli("start", "--label", "h", "--access", "users").returncode == 0
    with SAMPIntegratedClient() as client:
        client.connect(label="h", user="anybody", password="sesame")
        assert client.get_metadata(client.get_public_id())["hubfarm.user"] == "anybody"
    with pytest.raises(HubfarmError, match="is wrong"):
        farm.log_in("h", user="anybody", password="open")


class Failing:
    """A site's authenticator that fails in whatever way it is told, with the password in its words."""

    def __init__(self, failure: object) -> None:
        self.failure = failure

    def authenticate(self, user: str, password: str) -> Identity | None:
        if isinstance(self.failure, type) and issubclass(self.failure, BaseException):
            raise self.failure(f"cannot bind as {user} with {password}")
        return self.failure  # type: ignore[return-value]


@pytest.mark.parametrize("failure", [RuntimeError, KeyError, SystemExit, HubfarmError, True, "luigi"])
def test_whatever_an_authenticator_does_is_an_error_that_names_it(failure: object) -> None:
    with pytest.raises(HubfarmError) as caught:
        identify(Failing(failure), "luigi", PASSWORD)
    if failure is not HubfarmError:  # whose words are the authenticator's own
        assert f"{__name__}.Failing" in str(caught.value)
        assert PASSWORD not in str(caught.value)


def test_authenticator_that_there_is_not_is_named_with_those_that_there_are(paths: Paths) -> None:
    with pytest.raises(WrongUse, match="is 'ldap': there are file, pam"):
        authenticator(paths, AccessSettings(authenticator="ldap"))


def test_pam_without_python_pam_says_what_to_install(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pam", None)
    with pytest.raises(HubfarmError, match=r"pip install 'hubfarm\[pam\]'"):
        authenticator(paths, AccessSettings(authenticator="pam"))


def test_users_file_may_lie_where_the_settings_say(farm: Farm, settings: Path, tmp_path: Path) -> None:
    settings.write_text(f'[access]\nusers = "{tmp_path}/people"\n')
    farm.users.add("luigi", "a password", groups=["mima"])
    assert (tmp_path / "people").exists()
    farm.start(label="h", access="users")
    with SAMPIntegratedClient() as client:
        client.connect(label="h", user="luigi", password="a password")
    farm.users.disconnect("luigi")
    assert not farm.paths.users.exists()
