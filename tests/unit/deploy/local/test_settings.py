"""What a run of `make up` is told, and what it remembers."""

import pytest

from deploy.local import settings
from deploy.local.settings import Settings, SettingsError

STORE = {"S3_ENDPOINT_URL": "https://store.test", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def fresh() -> Settings:
    return settings.new()


def test_every_checkout_has_its_own_secrets(fresh: Settings) -> None:
    assert fresh.secrets != settings.new().secrets


def test_services_find_every_local_server(fresh: Settings) -> None:
    found = fresh.client_environment()

    assert found["AMQP_URL"] == f"amqp://scandock:{fresh.secrets.broker}@127.0.0.1:8081/"
    assert found["DATABASE_URL"] == f"postgresql://scandock:{fresh.secrets.database}@127.0.0.1:8085/scandock"
    assert found["S3_ENDPOINT_URL"] == "http://127.0.0.1:8086"
    assert found["SCANDOCK_URL"] == "http://127.0.0.1:8080"


def test_an_existing_broker_takes_the_place_of_the_local_one(fresh: Settings) -> None:
    told = fresh.told({"AMQP_URL": "amqps://u:p@broker.test/v"})

    assert told.broker is None
    assert told.client_environment()["AMQP_URL"] == "amqps://u:p@broker.test/v"
    assert "RABBITMQ_MANAGEMENT_URL" not in told.client_environment()


def test_an_existing_server_is_remembered_until_its_variable_is_empty(fresh: Settings) -> None:
    told = fresh.told({"DATABASE_URL": "postgresql://u:p@db.test/scandock"})

    assert told.told({}).database is None
    assert told.told({"DATABASE_URL": ""}).database is not None


def test_an_existing_store_comes_with_its_keys(fresh: Settings) -> None:
    assert fresh.told(STORE).client_environment().items() >= STORE.items()
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY"):
        fresh.told({**STORE, "AWS_SECRET_ACCESS_KEY": ""})


def test_our_own_local_env_in_the_shell_changes_nothing(fresh: Settings) -> None:
    assert fresh.told(fresh.client_environment()) == fresh


def test_fsync_is_yes_or_no(fresh: Settings) -> None:
    assert fresh.told({"S3_FSYNC": "1"}).told({}).fsync == "1"
    with pytest.raises(SettingsError, match="S3_FSYNC=maybe"):
        fresh.told({"S3_FSYNC": "maybe"})


def test_a_proxy_is_not_asked_for_loopback(fresh: Settings) -> None:
    assert fresh.process_environment({"no_proxy": "example.test"})["NO_PROXY"] == "example.test,127.0.0.1,localhost"


def test_settings_of_other_servers_in_the_shell_do_not_leak_in(fresh: Settings) -> None:
    shell = {"RABBITMQ_NODENAME": "other", "PGPASSWORD": "x", "AWS_PROFILE": "work", "HOME": "/home/me"}

    assert shell.keys() & fresh.process_environment(shell).keys() == {"HOME"}
