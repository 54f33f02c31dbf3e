pytest_plugins = ["tests.hub_fixture"]
