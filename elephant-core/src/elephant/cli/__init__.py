"""The command `elephant`: the core's workflows for people without the client, for scripts and for clusters.

`main` finds the command, `framework` says what all commands have in common, `commands` declares their options and
`work` does what they ask for. Only `work` and `health` may import PyTorch, and only when they are needed, so that
``elephant --help`` is there at once.
"""
