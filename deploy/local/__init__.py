"""What `make up`, `make down`, `make test` and `make check` run. Standard library only: it runs before anything is installed."""
