"""What `make up`, `make down`, `make test` and `make check` run.

Standard library only, but for asking the supervisor: installing comes first.
"""
