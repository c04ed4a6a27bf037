"""Which ports one machine listens on."""

import socket

import pytest

from deploy.local.ports import STORE, VARIABLES, Listener, PortError, chosen, in_use, listeners, resolve


def test_one_port_moves_all() -> None:
    assert {port - 1000 for port in resolve({"PORT": 9080}).values()} == set(resolve({}).values())


def test_the_defaults_do_not_meet() -> None:
    assert len({each.port for each in listeners(resolve({}), VARIABLES)}) == len(VARIABLES) + len(STORE)


def test_a_chosen_port_takes_its_companions_along() -> None:
    ports = resolve({"S3_PORT": 9000})

    assert (ports["S3_FILER_PORT"], ports["PORT"]) == (9003, 8080)


def test_a_choice_stays_until_another_is_made() -> None:
    assert chosen({"PORT": "9000", "PG_PORT": ""}, {"PORT": 8000, "PG_PORT": 5433}) == {"PORT": 9000, "PG_PORT": 5433}


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80 80"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(PortError, match="AMQP_PORT"):
        chosen({"AMQP_PORT": text}, {})


def test_a_port_wanted_twice_is_refused_by_name() -> None:
    with pytest.raises(PortError, match="9000 is wanted for PORT and PG_PORT"):
        listeners(resolve({"PORT": 9000, "PG_PORT": 9000}), ("PORT", "PG_PORT"))


def test_a_store_port_without_room_above_is_refused_by_name() -> None:
    with pytest.raises(PortError, match="set S3_PORT"):
        listeners(resolve({"S3_PORT": 60_000}), STORE)


def test_a_port_that_another_process_listens_on_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Listener(other.getsockname()[1], "PORT")

        assert in_use([taken]) == [taken]
    assert in_use([taken]) == []
